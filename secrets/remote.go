package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
)

// RemoteTimeout bounds each call of a remote key service.
const RemoteTimeout = 10 * time.Second

// maxAnswer bounds what a remote key service may answer.
const maxAnswer = 64 << 10

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
	// Vault holds https://<address>/v1/<engine>/keys/<name>, or the beginning of it.
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

// remoteService asks remote keys to decrypt data keys.
type remoteService struct {
	credentials credentials
	allowed     Remote
	client      *http.Client
	now         func() time.Time
}

func newRemoteService(keys *Keys, allowed Remote, client *http.Client) *remoteService {
	if client == nil {
		client = &http.Client{Transport: &http.Transport{TLSHandshakeTimeout: RemoteTimeout}}
	}
	ours := *client
	ours.Jar = nil
	ours.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if ours.Timeout == 0 || ours.Timeout > RemoteTimeout {
		ours.Timeout = RemoteTimeout
	}
	return &remoteService{credentials: keys.remote, allowed: allowed, client: &ours, now: time.Now}
}

// open returns the data key, an *Error, or errNoKey if there are no credentials for the service.
func (s *remoteService) open(r recipient) ([]byte, error) {
	switch {
	case r.remote.broken:
		return nil, errBadDataKey
	case !s.allowed.allows(r.kind, r.remote.id):
		return nil, &Error{Reason: NotAllowed, Detail: shortened(r.name)}
	}
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

// post sends a request and reads the answer into a value.
func (s *remoteService) post(address string, header http.Header, body []byte, answer any) error {
	request, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("its address is no address")
	}
	request.Header = header
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %s", request.URL.Host, whyNot(err))
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: its answer broke off", request.URL.Host)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", request.URL.Host, status(response.StatusCode))
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return fmt.Errorf("%s: its answer is not the JSON of such a service", request.URL.Host)
	}
	return nil
}

// status leaves out what the server wrote beside the code, which might be anything.
func status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// whyNot says why a request got no answer, without the address and what it may hold.
func whyNot(err error) string {
	var at *url.Error
	if errors.As(err, &at) {
		if at.Timeout() {
			return fmt.Sprintf("no answer within %s", RemoteTimeout)
		}
		return printable(at.Err.Error())
	}
	return "no answer"
}

func unreachable(r recipient, err error) error {
	return &Error{Reason: Unreachable, Detail: shortened(r.name) + ": " + err.Error()}
}
