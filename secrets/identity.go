package secrets

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
)

// IdentityConfig says by what the agent proves to services of remote keys who it is, without a stored
// credential. Nothing is looked up: what is empty here is not used.
type IdentityConfig struct {
	AWS   AWSIdentity
	GCP   GCPIdentity
	Azure AzureIdentity
	Vault VaultIdentity
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

// Assumes reports whether the agent asks STS for the role.
func (a AWSIdentity) Assumes() bool { return a.Role != "" && a.TokenFile != "" }

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
// Decrypters, whose Remote says which of them may use it for which keys.
type Identity struct{ IdentityConfig }

// azureTenant is the form of a tenant of Entra.
var azureTenant = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// NewIdentity returns an Identity. It neither reads a file nor asks a service.
func NewIdentity(c IdentityConfig) (*Identity, error) {
	if c.Azure.Authority == "" {
		c.Azure.Authority = azureLogin
	}
	var problems []error
	if address := c.AWS.CredentialsURL; address != "" && !Confidential(address) {
		problems = append(problems, fmt.Errorf("cannot ask %q for credentials of AWS: it is neither https nor an address of this node", address))
	}
	if host := c.GCP.MetadataHost; host != "" && !Confidential("http://"+host) {
		problems = append(problems, fmt.Errorf("cannot ask %q for credentials of Google: it is no address of this node", host))
	}
	if address := c.Azure.Authority; !Confidential(address) {
		problems = append(problems, fmt.Errorf("cannot ask %q for credentials of Azure: it is not https", address))
	}
	if c.Azure.Tenant != "" && !azureTenant.MatchString(c.Azure.Tenant) {
		problems = append(problems, fmt.Errorf("cannot ask for credentials of Azure: %q is no tenant", c.Azure.Tenant))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Identity{c}, nil
}

// azureLogin is the address of Entra in the public cloud.
const azureLogin = "https://login.microsoftonline.com/"

// Services names those to which the agent can prove who it is.
func (i *Identity) Services() []string {
	var names []string
	for _, s := range []struct {
		name string
		kind Kind
	}{{"AWS", KindAWS}, {"GCP", KindGCP}, {"Azure", KindAzure}, {"Vault", KindVault}} {
		if i.proves(s.kind) {
			names = append(names, s.name)
		}
	}
	return names
}

// proves reports whether the agent can prove who it is to the service of a kind of keys.
func (i *Identity) proves(kind Kind) bool {
	if i == nil {
		return false
	}
	return map[Kind]bool{
		KindAWS: i.AWS.Assumes() || i.AWS.CredentialsURL != "", KindGCP: i.GCP.MetadataHost != "",
		KindAzure: i.Azure.TokenFile != "", KindVault: i.Vault.TokenFile != "",
	}[kind]
}

// nodeHosts are where clouds put what gives a node's pods their credentials, over plain HTTP: the traffic
// does not leave the node.
var nodeHosts = []string{GCPMetadataHost, "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "fd20:ce::254", "metadata.google.internal"}

// Confidential reports whether an address is encrypted or local, so that no other host can read the traffic.
func Confidential(address string) bool {
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
