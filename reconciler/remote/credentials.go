package remote

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
)

// flatten is the next step if a kubeconfig names files.
const flatten = "embed the files: kubectl config view --raw --minify --flatten --context CONTEXT"

// address sets where the API server is, and how to recognise it.
func address(config *rest.Config, cluster *api.Cluster) error {
	// Neither the address nor an error of its parser is shown, because it may contain a password.
	server, err := url.Parse(cluster.Server)
	switch {
	case cluster.Server == "":
		return errors.New("has no server: the cluster's address is missing")
	case err != nil || server.Hostname() == "":
		return errors.New("has a server that is no address of the form https://HOST:PORT")
	case server.Scheme == "http":
		return &refusal{what: "has a server with http://, and the credentials would be sent unencrypted", do: "use https://"}
	case server.Scheme != "https":
		return errors.New("has a server that does not begin with https://")
	case server.User != nil:
		return &refusal{what: "has a user name or a password in the address of the server (server)"}
	case server.RawQuery != "" || server.Fragment != "":
		return errors.New("has a server with a query or a fragment, which an address of an API server cannot have")
	case cluster.ProxyURL != "":
		return &refusal{what: "names a proxy (proxy-url), which the agent does not use", do: "set HTTPS_PROXY for the agent, or name an address that it reaches directly"}
	case cluster.InsecureSkipTLSVerify:
		return &refusal{what: "does not verify the server's certificate (insecure-skip-tls-verify)", do: "embed the authority that signed it in certificate-authority-data"}
	case cluster.CertificateAuthority != "":
		return &refusal{what: "names a file with the certificate authority (certificate-authority), and only certificate-authority-data is read", do: flatten}
	case len(cluster.CertificateAuthorityData) > 0 && !x509.NewCertPool().AppendCertsFromPEM(cluster.CertificateAuthorityData):
		return errors.New("has no PEM certificate in certificate-authority-data")
	}
	config.Host = cluster.Server
	config.CAData, config.ServerName = cluster.CertificateAuthorityData, cluster.TLSServerName
	config.DisableCompression = cluster.DisableCompression
	return nil
}

// refused returns why a user's credentials are not embedded in the kubeconfig, or nil.
func refused(user *api.AuthInfo) error {
	switch {
	case user.Exec != nil:
		return &refusal{what: "gets its credentials from an exec plugin (exec), and the agent runs no programs"}
	case user.AuthProvider != nil:
		return &refusal{what: "gets its credentials from an auth provider (auth-provider), which Kubernetes removed"}
	case user.TokenFile != "":
		return &refusal{what: "names a file with the token (tokenFile), and only an embedded token is read"}
	case user.ClientCertificate != "":
		return &refusal{what: "names a file with the client certificate (client-certificate), and only client-certificate-data is read", do: flatten}
	case user.ClientKey != "":
		return &refusal{what: "names a file with the client key (client-key), and only client-key-data is read", do: flatten}
	case user.Username != "" || user.Password != "":
		return &refusal{what: "has a user name or a password (username, password), which no API server accepts any more"}
	case user.Impersonate != "" || user.ImpersonateUID != "" || len(user.ImpersonateGroups) > 0 || len(user.ImpersonateUserExtra) > 0:
		return &refusal{what: "impersonates another user (as, as-uid, as-groups, as-user-extra), and the agent impersonates the environments' accounts"}
	case user.Token == "" && len(user.ClientCertificateData) == 0 && len(user.ClientKeyData) == 0:
		return &refusal{what: "has no credentials: neither a token nor client-certificate-data"}
	}
	return nil
}

// credentials sets the user's credentials, and returns the connection with the time at which they end.
func credentials(config *rest.Config, user *api.AuthInfo) (Config, error) {
	if err := refused(user); err != nil {
		return Config{}, err
	}
	c := Config{REST: config}
	if user.Token != "" {
		token := strings.TrimSpace(user.Token)
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			return Config{}, errors.New("has a token with line breaks or other characters that no token has")
		}
		config.BearerToken = token
		c.ends(tokenEnd(token), "the token")
	}
	if len(user.ClientCertificateData) == 0 && len(user.ClientKeyData) == 0 {
		return c, nil
	}
	switch pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData); {
	case len(user.ClientKeyData) == 0:
		return Config{}, errors.New("has client-certificate-data, but no client-key-data")
	case len(user.ClientCertificateData) == 0:
		return Config{}, errors.New("has client-key-data, but no client-certificate-data")
	case err != nil: // its text is not shown, because it describes the key
		return Config{}, errors.New("has client-certificate-data and client-key-data that are no PEM certificate with its key")
	default:
		c.ends(pair.Leaf.NotAfter, "the client certificate")
	}
	config.CertData, config.KeyData = slices.Clone(user.ClientCertificateData), slices.Clone(user.ClientKeyData)
	return c, nil
}

// ends records when a credential ends, if that is before the others.
func (c *Config) ends(at time.Time, what string) {
	if !at.IsZero() && (c.Expires.IsZero() || at.Before(c.Expires)) {
		c.Expires, c.ExpiresWhat = at.UTC(), what
	}
}

// lastTime is the last second that RFC 3339 can express. A later end means none.
const lastTime = 253402300799

// tokenEnd returns the time at which a token says that it ends, and the zero time if it does not. It does not verify the
// token: the API server does.
func tokenEnd(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		End float64 `json:"exp"`
	}
	if json.Unmarshal(text, &claims) != nil || claims.End < 1 || claims.End > lastTime {
		return time.Time{}
	}
	return time.Unix(int64(claims.End), 0).UTC()
}
