package secrets

import (
	"errors"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
)

// Remote lists the remote keys that files may be decrypted with. What a list names is allowed, and what
// lies below it at a "/". Files name services and keys, so that without lists a branch could send the
// credentials of the key Secret wherever it likes.
type Remote struct {
	// AWS holds ARNs of keys.
	AWS []string
	// GCP holds projects/…/locations/…/keyRings/…/cryptoKeys/….
	GCP []string
	// Azure holds https://<vault>/keys/<name>/<version>, or the beginning of it.
	Azure []string
	// Vault holds https://<address>/v1/<engine>/keys/<name>, or the beginning of it. An Identity logs in
	// with the role of which it holds https://<address>/v1/auth/<method>/role/<name>.
	Vault []string
}

func (r Remote) allows(kind, id string) bool {
	lists := map[string][]string{kindAWS: r.AWS, kindGCP: r.GCP, kindAzure: r.Azure, kindVault: r.Vault}
	for _, allowed := range lists[kind] {
		if within(id, allowed) {
			return true
		}
	}
	return false
}

func within(id, allowed string) bool {
	allowed = strings.TrimRight(allowed, "/")
	return allowed != "" && (id == allowed || strings.HasPrefix(id, allowed+"/"))
}

// Narrow returns what both r and an entry's own list allow. An item of the list counts for every service
// whose keys it can name.
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

// remoteKey is a key that a file names, in its one canonical form.
type remoteKey struct {
	id string
	// broken says that the file names no key of the kind.
	broken bool
	// role is what AWS would have to let us be.
	role    string
	context map[string]string
}

var (
	arnForm   = regexp.MustCompile(`^arn:(aws[a-z-]*):kms:([a-z0-9-]+):[0-9]+:(?:key|alias)/[A-Za-z0-9/_-]+$`)
	gcpForm   = regexp.MustCompile(`^projects/[\w.:-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+$`)
	azureForm = regexp.MustCompile(`^https://[a-z0-9.-]+(?::[0-9]+)?/keys/[A-Za-z0-9-]+/[A-Za-z0-9]+$`)
	vaultForm = regexp.MustCompile(`^https?://[a-z0-9.:\[\]-]+(?:/[\w.-]+)*/v1(?:/[\w.-]+)+/keys/[\w.-]+$`)
)

func newRemoteKey(kind string, f fields) remoteKey {
	var (
		key  remoteKey
		form *regexp.Regexp
	)
	switch kind {
	case kindAWS:
		key.id, form = f.text("arn"), arnForm
		key.role, key.context = f.text("role"), texts(f["context"])
	case kindGCP:
		key.id, form = f.text("resource_id"), gcpForm
	case kindAzure:
		key.id = baseURL(f.text("vault_url")) + "/keys/" + f.text("name") + "/" + f.text("version")
		form = azureForm
	case kindVault:
		key.id = baseURL(f.text("vault_address")) + "/v1/" + strings.Trim(f.text("engine_path"), "/") + "/keys/" + f.text("key_name")
		form = vaultForm
	default:
		return remoteKey{broken: true}
	}
	key.broken = !form.MatchString(key.id) || hasDots(key.id)
	return key
}

// hasDots says whether an id climbs, so that it is not what it looks like.
func hasDots(id string) bool {
	_, rest, _ := strings.Cut(id, "//")
	if rest == "" {
		rest = id
	}
	return path.Clean(rest) != rest
}

// baseURL returns the scheme, host and path of an address, which are all that counts.
func baseURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return ""
	}
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.Path, "/")
}

func texts(value any) map[string]string {
	found := map[string]string{}
	if values, ok := value.(map[string]any); ok {
		for key := range values {
			found[key] = fields(values).text(key)
		}
	}
	return found
}

// credentials are what a key Secret holds for remote keys.
type credentials struct {
	vaultToken string
	aws        awsCredentials
	gcp        gcpCredentials
	azure      azureCredentials
}

// remoteService asks remote keys to decrypt data keys, with the credentials of the key Secret, or for
// want of those with the agent's identity.
type remoteService struct {
	caller
	credentials credentials
	identity    *Identity
	allowed     Remote
	now         func() time.Time
}

// open returns the data key, or an *Error; or errBadDataKey.
func (s *remoteService) open(r recipient) ([]byte, error) {
	switch {
	case r.remote.broken:
		return nil, errBadDataKey
	case !s.allowed.allows(r.kind, r.remote.id):
		return nil, &Error{Reason: NotAllowed, Detail: shortened(r.name)}
	}
	share, err := s.ask(r)
	var refused *refusedError
	switch {
	case err == nil:
		return share, nil
	case errors.Is(err, errNoKey):
		return nil, &Error{Reason: NoKey, Detail: "for " + shortened(r.name) + " there are no credentials (" + entries[r.kind] + ")"}
	case errors.As(err, &refused):
		s.identity.forget(r.kind)
	case errors.As(err, new(*Error)) || errors.Is(err, errBadDataKey):
		return nil, err
	}
	return nil, &Error{Reason: Unreachable, Detail: shortened(r.name) + ": " + err.Error()}
}

// entries of the key Secret hold the credentials for each kind.
var entries = map[string]string{kindAWS: awsEntry, kindGCP: gcpEntry, kindAzure: azureEntry, kindVault: vaultEntry}

func (s *remoteService) ask(r recipient) ([]byte, error) {
	switch r.kind {
	case kindAWS:
		return s.openAWS(r)
	case kindGCP:
		return s.openGCP(r)
	case kindAzure:
		return s.openAzure(r)
	}
	return s.openVault(r)
}
