package secrets

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Remote lists the remote keys that may decrypt files. An item allows the key that it names, and every key below it at
// a "/". Files name services and keys, so without these lists a branch could send the credentials of the key Secret to
// any address.
type Remote struct {
	// AWS holds ARNs of keys.
	AWS []string
	// GCP holds projects/…/locations/…/keyRings/…/cryptoKeys/….
	GCP []string
	// Azure holds https://<vault>/keys/<name>/<version>, or a prefix of it.
	Azure []string
	// Vault holds https://<address>/v1/<engine>/keys/<name>, or a prefix of it. An Identity logs in with the role that
	// is listed as https://<address>/v1/auth/<method>/role/<name>.
	Vault []string
}

// Allows returns nil if a file may use a key, and otherwise an *Error with the reason.
func (r Remote) Allows(key RemoteKey) error {
	lists := map[Kind][]string{KindAWS: r.AWS, KindGCP: r.GCP, KindAzure: r.Azure, KindVault: r.Vault}
	switch name := Shortened(Printable(key.ID)); {
	case key.broken:
		return tampered("its data key for " + name + " is broken")
	case key.role != "":
		return &Error{Reason: NotAllowed, Detail: name + " through the role " + Shortened(Printable(key.role)) + ", and roles that files name are never assumed"}
	default:
		for _, allowed := range lists[key.Kind] {
			if within(key.ID, allowed) {
				return nil
			}
		}
		return &Error{Reason: NotAllowed, Detail: name}
	}
}

func within(id, allowed string) bool {
	allowed = strings.TrimRight(allowed, "/")
	return allowed != "" && (id == allowed || strings.HasPrefix(id, allowed+"/"))
}

// Narrow returns the keys that both r and an entry's own list allow. An item of the list counts for every service whose
// keys it can name.
func (r Remote) Narrow(list []string) Remote {
	narrow := func(allowed []string) []string {
		var both []string
		for _, a := range allowed {
			for _, b := range list {
				switch {
				case within(b, a):
					both = append(both, b)
				case within(a, b):
					both = append(both, a)
				}
			}
		}
		return both
	}
	return Remote{AWS: narrow(r.AWS), GCP: narrow(r.GCP), Azure: narrow(r.Azure), Vault: narrow(r.Vault)}
}

// RemoteKey is a key of a service, in the canonical form that the lists use.
type RemoteKey struct {
	Kind Kind
	ID   string
	// broken is true if the file names no valid key of the kind.
	broken bool
	// role is the AWS role that the agent would have to assume.
	role string
}

var forms = map[Kind]*regexp.Regexp{
	KindAWS:   regexp.MustCompile(`^arn:(aws[a-z-]*):kms:([a-z0-9-]+):[0-9]+:(?:key|alias)/[A-Za-z0-9/_-]+$`),
	KindGCP:   regexp.MustCompile(`^projects/[\w.:-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+$`),
	KindAzure: regexp.MustCompile(`^https://[a-z0-9.-]+(?::[0-9]+)?/keys/[A-Za-z0-9-]+/[A-Za-z0-9]+$`),
	KindVault: regexp.MustCompile(`^https?://[a-z0-9.:\[\]-]+(?:/[\w.-]+)*/v1(?:/[\w.-]+)+/keys/[\w.-]+$`),
}

func newRemoteKey(kind Kind, id string) RemoteKey {
	return RemoteKey{Kind: kind, ID: id, broken: !forms[kind].MatchString(id) || hasDots(id)}
}

// AWSKey returns a key of AWS KMS, with the role in which a file wants to use it.
func AWSKey(arn, role string) RemoteKey {
	key := newRemoteKey(KindAWS, arn)
	key.role = role
	return key
}

// GCPKey returns a key of Google Cloud KMS.
func GCPKey(resource string) RemoteKey { return newRemoteKey(KindGCP, resource) }

// AzureKey returns a key of Azure Key Vault.
func AzureKey(vault, name, version string) RemoteKey {
	return newRemoteKey(KindAzure, baseURL(vault)+"/keys/"+name+"/"+version)
}

// VaultKey returns a key of a transit engine of HashiCorp Vault or OpenBao.
func VaultKey(address, engine, name string) RemoteKey {
	return newRemoteKey(KindVault, baseURL(address)+"/v1/"+strings.Trim(engine, "/")+"/keys/"+name)
}

// hasDots reports whether an id has dot segments, so that it names another key than it seems to.
func hasDots(id string) bool {
	_, rest, _ := strings.Cut(id, "//")
	if rest == "" {
		rest = id
	}
	return path.Clean(rest) != rest
}

// baseURL returns the scheme, host and path of an address, which alone identify it.
func baseURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return ""
	}
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.Path, "/")
}

// vaultRole matches the address of a login role in Vault's API.
var vaultRole = regexp.MustCompile(`^https?://[a-z0-9.:\[\]-]+(?:/[\w.-]+)*/v1(?:/[\w.-]+)*/auth(?:/[\w.-]+)+/role/[\w.-]+$`)

// VaultRoles returns the listed login roles at the address of a key.
func (r Remote) VaultRoles(key RemoteKey) []string {
	var roles []string
	for _, allowed := range r.Vault {
		if vaultRole.MatchString(allowed) && !hasDots(allowed) && origin(allowed) == origin(key.ID) {
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
