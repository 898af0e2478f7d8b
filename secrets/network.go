package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// RemoteTimeout bounds each call of a remote service.
const RemoteTimeout = 10 * time.Second

// maxAnswer bounds what a remote service may answer.
const maxAnswer = 64 << 10

// NewHTTPClient returns a client for remote services that all Decrypters and the Identity of a program are
// meant to share. It knows no proxy and no cookies. While a host does not answer, one call at a time tries
// it, and the others fail at once.
func NewHTTPClient() *http.Client {
	return &http.Client{Transport: newBreaker(&http.Transport{
		TLSHandshakeTimeout: RemoteTimeout, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	})}
}

// caller calls remote services. What they answer is bounded, and nothing of it gets into an error but
// words that are known beforehand, since it may quote what it was sent.
type caller struct{ client *http.Client }

// newCaller makes of a client, which may be nil, one that neither follows redirects, which would carry
// credentials elsewhere, nor waits for long.
func newCaller(client *http.Client) caller {
	if client == nil {
		client = NewHTTPClient()
	}
	ours := *client
	ours.Jar = nil
	ours.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if ours.Timeout == 0 || ours.Timeout > RemoteTimeout {
		ours.Timeout = RemoteTimeout
	}
	return caller{&ours}
}

// post sends a request and reads the JSON of the answer into a value.
func (c caller) post(address string, header http.Header, body []byte, answer any) error {
	return c.exchange(http.MethodPost, address, header, body, func(content []byte, _ http.Header) error {
		return json.Unmarshal(content, answer)
	})
}

// get is post without a body.
func (c caller) get(address string, header http.Header, answer any) error {
	return c.exchange(http.MethodGet, address, header, nil, func(content []byte, _ http.Header) error {
		return json.Unmarshal(content, answer)
	})
}

// exchange sends a request and has the answer read. What read finds wrong is not repeated.
func (c caller) exchange(method, address string, header http.Header, body []byte, read func([]byte, http.Header) error) error {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("its address is no address")
	}
	request.Header = header
	response, err := c.client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %s", request.URL.Host, whyNot(err))
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: its answer broke off", request.URL.Host)
	}
	if response.StatusCode != http.StatusOK {
		return &refusedError{host: request.URL.Host, code: response.StatusCode, words: troubleIn(content)}
	}
	if err := read(content, response.Header); err != nil {
		return fmt.Errorf("%s: its answer is not that of such a service", request.URL.Host)
	}
	return nil
}

// refusedError is an answer that is no success.
type refusedError struct {
	host  string
	code  int
	words []string
}

func (e *refusedError) Error() string {
	text := e.host + " says " + strings.TrimSpace(fmt.Sprintf("%d %s", e.code, http.StatusText(e.code)))
	if len(e.words) > 0 {
		text += " (" + strings.Join(e.words, ", ") + ")"
	}
	return text
}

// trouble are the words by which the services say what is wrong.
var trouble = regexp.MustCompile(`\b(?:` + strings.Join([]string{
	// AWS: KMS, STS, the Pod Identity agent.
	`(?:AccessDenied|NotFound|ResourceNotFound|Disabled|KMSInvalidState|InvalidCiphertext|IncorrectKey|KeyUnavailable|InvalidKeyUsage)Exception`,
	`(?:UnrecognizedClient|InvalidSignature|ExpiredToken|InvalidToken|Throttling|RegionDisabled|DependencyTimeout|KMSInternal)Exception`,
	`AccessDenied|InvalidClientTokenId|InvalidIdentityToken|IDPRejectedClaim|IDPCommunicationError|RequestExpired`,
	// Google.
	`PERMISSION_DENIED|NOT_FOUND|UNAUTHENTICATED|FAILED_PRECONDITION|INVALID_ARGUMENT|RESOURCE_EXHAUSTED`,
	`ACCESS_TOKEN_SCOPE_INSUFFICIENT|SERVICE_DISABLED`,
	// Azure and other OAuth servers.
	`AADSTS[0-9]{4,7}|invalid_client|invalid_grant|invalid_scope|unauthorized_client`,
	`Forbidden(?:ByRbac|ByPolicy|ByFirewall)?|KeyNotFound|KeyDisabled|BadParameter`,
	// Vault.
	`permission denied|Vault is sealed|encryption key not found|invalid role name|service account name not authorized|namespace not authorized|invalid audience`,
}, "|") + `)\b`)

// maxTrouble bounds how many of them are told.
const maxTrouble = 3

func troubleIn(content []byte) []string {
	var words []string
	for _, found := range trouble.FindAllString(string(content), -1) {
		if !slices.Contains(words, found) {
			words = append(words, found)
		}
		if len(words) == maxTrouble {
			break
		}
	}
	return words
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
