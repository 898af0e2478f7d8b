package secrets

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// IdentityConfig says by what the agent proves to services of remote keys who it is, without a stored
// credential. Nothing is looked up: what is empty here is not used.
type IdentityConfig struct {
	AWS   AWSIdentity
	GCP   GCPIdentity
	Azure AzureIdentity
	Vault VaultIdentity
	// HTTPClient reaches the services, see Config.
	HTTPClient *http.Client
	// Now is the clock; nil stands for the real one.
	Now func() time.Time
}

// AWSIdentity is a role that AWS lets the agent assume. With a Role and its TokenFile the agent asks STS
// (IAM roles for service accounts), or else it asks CredentialsURL (EKS Pod Identity).
type AWSIdentity struct {
	// Role is the ARN of the role, and TokenFile holds the token of a service account that may assume it.
	Role, TokenFile string
	// Region is that of STS; empty: the key's.
	Region string
	// CredentialsURL gives credentials to who sends what CredentialsTokenFile holds.
	CredentialsURL, CredentialsTokenFile string
}

// GCPIdentity is the service account that Google's metadata server vouches for: that of the pod (Workload
// Identity Federation for GKE), or that of the machine.
type GCPIdentity struct {
	// MetadataHost is the address of the metadata server.
	MetadataHost string
}

// AzureIdentity is an application, or a managed identity, of Entra that trusts the token of a service
// account.
type AzureIdentity struct {
	Tenant, Client string
	// TokenFile holds the token.
	TokenFile string
	// Authority is the address of Entra; empty: that of the public cloud.
	Authority string
}

// VaultIdentity is the service account with whose token the agent logs in to HashiCorp Vault, or OpenBao.
// Which role it takes there, Remote says.
type VaultIdentity struct {
	// TokenFile holds the token.
	TokenFile string
}

// Identity is who the agent is to the services of remote keys. It is meant to be shared by all
// Decrypters, whose Remote says which of them may use it for which keys. It is safe for concurrent use.
type Identity struct {
	IdentityConfig
	caller
	aws               leases[awsCredentials]
	gcp, azure, vault leases[string]
}

// NewIdentity returns an Identity. It neither reads a file nor asks a service before it is used.
func NewIdentity(c IdentityConfig) (*Identity, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Azure.Authority == "" {
		c.Azure.Authority = azureLogin
	}
	var problems []error
	if address := c.AWS.CredentialsURL; address != "" && !confidential(address) {
		problems = append(problems, fmt.Errorf("cannot ask %q for credentials of AWS: it is neither https nor an address of this node", address))
	}
	if host := c.GCP.MetadataHost; host != "" && !confidential("http://"+host) {
		problems = append(problems, fmt.Errorf("cannot ask %q for credentials of Google: it is no address of this node", host))
	}
	if address := c.Azure.Authority; !confidential(address) {
		problems = append(problems, fmt.Errorf("cannot ask %q for credentials of Azure: it is not https", address))
	}
	if c.Azure.Tenant != "" && !azureTenant.MatchString(c.Azure.Tenant) {
		problems = append(problems, fmt.Errorf("cannot ask for credentials of Azure: %q is no tenant", c.Azure.Tenant))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Identity{IdentityConfig: c, caller: newCaller(c.HTTPClient)}, nil
}

// Services names those to which the agent can prove who it is.
func (i *Identity) Services() []string {
	if i == nil {
		return nil
	}
	var names []string
	for _, s := range []struct {
		name string
		is   bool
	}{
		{"AWS", i.AWS.assumes() || i.AWS.CredentialsURL != ""}, {"GCP", i.GCP.MetadataHost != ""},
		{"Azure", i.Azure.TokenFile != ""}, {"Vault", i.Vault.TokenFile != ""},
	} {
		if s.is {
			names = append(names, s.name)
		}
	}
	return names
}

// forget drops what a service has given, which it may not take any more.
func (i *Identity) forget(kind string) {
	switch {
	case i == nil:
	case kind == kindAWS:
		i.aws.forget()
	case kind == kindGCP:
		i.gcp.forget()
	case kind == kindAzure:
		i.azure.forget()
	default:
		i.vault.forget()
	}
}

// nodeHosts are where clouds put what gives a node's pods their credentials, over plain HTTP: the traffic
// does not leave the node.
var nodeHosts = []string{GCPMetadataHost, "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "fd20:ce::254", "metadata.google.internal"}

// confidential says whether what is sent to an address reaches nobody on the way.
func confidential(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() || slices.Contains(nodeHosts, u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// GCPMetadataHost is where Google has its metadata server.
const GCPMetadataHost = "169.254.169.254"

// maxToken bounds a token in a file.
const maxToken = 64 << 10

// tokenIn reads a token, which whoever put it there replaces now and then.
func tokenIn(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("reading the agent's token: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return "", fmt.Errorf("reading the agent's token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || printable(token) != token {
		return "", fmt.Errorf("reading the agent's token: %s holds none", file)
	}
	return token, nil
}
