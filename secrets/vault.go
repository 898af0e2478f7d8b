package secrets

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// vaultRole is the address of a role with which one logs in, as Vault's API names it.
var vaultRole = regexp.MustCompile(`^https?://[a-z0-9.:\[\]-]+(?:/[\w.-]+)*/v1(?:/[\w.-]+)*/auth(?:/[\w.-]+)+/role/[\w.-]+$`)

func parseVault(content []byte) (string, error) {
	token := strings.TrimSpace(string(content))
	if token == "" || printable(token) != token {
		return "", errors.New("it is not a token of Vault")
	}
	return token, nil
}

// openVault asks the transit engine of HashiCorp Vault, or of OpenBao.
// https://developer.hashicorp.com/vault/api-docs/secret/transit#decrypt-data
func (s *remoteService) openVault(r recipient) ([]byte, error) {
	token, err := s.vaultToken(r.remote.id)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"ciphertext": r.dataKey})
	if err != nil {
		return nil, errBadDataKey
	}
	at := strings.LastIndex(r.remote.id, "/keys/")
	address := r.remote.id[:at] + "/decrypt/" + r.remote.id[at+len("/keys/"):]
	header := http.Header{"X-Vault-Token": {token}, "X-Vault-Request": {"true"}, "Content-Type": {"application/json"}}
	var answer struct {
		Data struct {
			Plaintext []byte `json:"plaintext"`
		} `json:"data"`
	}
	if err := s.post(address, header, body, &answer); err != nil {
		return nil, err
	}
	return answer.Data.Plaintext, nil
}

// vaultToken returns the token of the key Secret, or one for the role that the agent may take.
func (s *remoteService) vaultToken(key string) (string, error) {
	if s.credentials.vaultToken != "" {
		return s.credentials.vaultToken, nil
	}
	roles := s.allowed.vaultRoles(key)
	if s.identity == nil || s.identity.Vault.TokenFile == "" || len(roles) == 0 {
		return "", errNoKey
	}
	if len(roles) > 1 {
		return "", errors.New("several roles are allowed at its address; name one of them in the entry's decryption.allow")
	}
	return s.identity.vaultToken(roles[0])
}

// vaultRoles are the listed roles at the address of a key.
func (r Remote) vaultRoles(key string) []string {
	var roles []string
	for _, allowed := range r.Vault {
		if vaultRole.MatchString(allowed) && !hasDots(allowed) && origin(allowed) == origin(key) {
			roles = append(roles, allowed)
		}
	}
	return roles
}

// origin returns the scheme and the host of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// vaultToken logs in with the token of the agent's service account.
// https://developer.hashicorp.com/vault/api-docs/auth/kubernetes#login
func (i *Identity) vaultToken(address string) (string, error) {
	if !confidential(address) {
		return "", errors.New("the agent does not log in without https")
	}
	return i.vault.get(address, i.Now(), func() (string, time.Time, error) {
		statement, err := tokenIn(i.Vault.TokenFile)
		if err != nil {
			return "", time.Time{}, err
		}
		at := strings.LastIndex(address, "/role/")
		body, err := json.Marshal(map[string]string{"role": address[at+len("/role/"):], "jwt": statement})
		if err != nil {
			return "", time.Time{}, errors.New("the agent's token cannot be sent")
		}
		var answer struct {
			Auth struct {
				Token   string `json:"client_token"`
				Seconds int    `json:"lease_duration"`
			} `json:"auth"`
		}
		header := http.Header{"X-Vault-Request": {"true"}, "Content-Type": {"application/json"}}
		if err := i.post(address[:at]+"/login", header, body, &answer); err != nil {
			return "", time.Time{}, err
		}
		if answer.Auth.Token == "" {
			return "", time.Time{}, errors.New("the answer to the login holds no token")
		}
		return answer.Auth.Token, i.Now().Add(time.Duration(answer.Auth.Seconds) * time.Second), nil
	})
}
