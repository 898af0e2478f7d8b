package secrets

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
)

// IdentityConfig describes how the agent authenticates to remote key services without a stored credential. Nothing is
// discovered: an empty field is not used.
type IdentityConfig struct {
	AWS   AWSIdentity
	GCP   GCPIdentity
	Azure AzureIdentity
	Vault VaultIdentity
}

// AWSIdentity is a role that AWS allows the agent to assume. With Role and TokenFile set, the agent asks STS (IAM roles
// for service accounts). Otherwise it asks CredentialsURL (EKS Pod Identity).
type AWSIdentity struct {
	// Role is the ARN of the role, and TokenFile holds the token of a service account that may assume it.
	Role, TokenFile string
	// Region is the region of STS; empty means the region of the key.
	Region string
	// CredentialsURL returns credentials to a caller that sends the content of CredentialsTokenFile.
	CredentialsURL, CredentialsTokenFile string
}

// Assumes reports whether the agent asks STS for the role.
func (a AWSIdentity) Assumes() bool { return a.Role != "" && a.TokenFile != "" }

// GCPIdentity is the service account for which Google's metadata server issues tokens: that of the pod (Workload
// Identity Federation for GKE) or of the machine.
type GCPIdentity struct {
	// MetadataHost is the address of the metadata server.
	MetadataHost string
}

// AzureIdentity is an Entra application, or a managed identity, that trusts the token of a service account.
type AzureIdentity struct {
	Tenant, Client string
	// TokenFile holds the token.
	TokenFile string
	// Authority is the address of Entra; empty means the public cloud.
	Authority string
}

// VaultIdentity is the service account whose token the agent uses to log in to HashiCorp Vault or OpenBao. Remote names
// the role of the login.
type VaultIdentity struct {
	// TokenFile holds the token.
	TokenFile string
}

// Identity is the agent's identity at remote key services. All Decrypters are meant to share it. Their Remote says
// which keys each of them may use with it.
type Identity struct{ IdentityConfig }

// azureTenant is the syntax of an Entra tenant.
var azureTenant = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// NewIdentity returns an Identity. It reads no file and makes no request.
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

// Services returns the names of the services at which the agent can authenticate.
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

// proves reports whether the agent can authenticate to the service of a kind of keys.
func (i *Identity) proves(kind Kind) bool {
	if i == nil {
		return false
	}
	return map[Kind]bool{
		KindAWS: i.AWS.Assumes() || i.AWS.CredentialsURL != "", KindGCP: i.GCP.MetadataHost != "",
		KindAzure: i.Azure.TokenFile != "", KindVault: i.Vault.TokenFile != "",
	}[kind]
}

// nodeHosts are the addresses where clouds serve credentials to the pods of a node. They use plain HTTP, but the
// traffic does not leave the node.
var nodeHosts = []string{GCPMetadataHost, "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "fd20:ce::254", "metadata.google.internal"}

// Confidential reports whether an address is encrypted or local, so that other hosts cannot read the traffic.
func Confidential(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() || slices.Contains(nodeHosts, u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// GCPMetadataHost is the address of Google's metadata server.
const GCPMetadataHost = "169.254.169.254"
