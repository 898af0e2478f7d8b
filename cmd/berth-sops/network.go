package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/secrets"
)

// maxAnswer is the maximum size of a remote service's answer.
const maxAnswer = 64 << 10

// network connects to remote services. The clouds' clients use it for all their calls. It has no proxy, no cookies
// and no redirects, which would carry credentials elsewhere. Answers are limited in size. Errors contain only known
// words of an answer, because an answer may quote the request.
type network struct {
	base http.RoundTripper
	// timeout bounds each call.
	timeout time.Duration
	// metadataHost is the host of Google's metadata server, if there is one.
	metadataHost string
	// trouble is the last error since begin. The clients do not always return errors.
	trouble error
}

func dial() http.RoundTripper {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: secrets.RemoteTimeout}).DialContext,
		TLSHandshakeTimeout: secrets.RemoteTimeout, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
}

func newNetwork(base http.RoundTripper) *network {
	return &network{base: newBreaker(base), timeout: secrets.RemoteTimeout}
}

// client returns a new client each time, because the clouds' clients change theirs.
func (n *network) client() *http.Client {
	return &http.Client{
		Transport:     n,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// begin prepares for another key.
func (n *network) begin() { n.trouble = nil }

// note keeps an error for explain.
func (n *network) note(err error) error {
	if err != nil {
		n.trouble = err
	}
	return err
}

// explain describes why a service returned no key, without its answer.
func (n *network) explain(err error) string {
	if n.trouble != nil {
		return n.trouble.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", n.timeout)
	}
	return "its answer is not that of such a service"
}

// RoundTrip calls a service. An answer other than success is an error, except the challenge by which Azure names
// its token server.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), n.timeout)
	defer cancel() // the answer is read by then
	response, err := n.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, n.note(fmt.Errorf("%s: %w", r.URL.Host, n.whyNot(err)))
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	_ = response.Body.Close() // the content is already read
	response.Body = io.NopCloser(bytes.NewReader(content))
	response.ContentLength = int64(len(content))
	switch {
	case err != nil:
		return nil, n.note(fmt.Errorf("%s: its answer broke off", r.URL.Host))
	case response.StatusCode == http.StatusUnauthorized && response.Header.Get("WWW-Authenticate") != "" && r.Header.Get("Authorization") == "":
		return response, nil
	case response.StatusCode < 200 || response.StatusCode > 299:
		return nil, n.note(&refusedError{host: r.URL.Host, code: response.StatusCode, words: troubleIn(content)})
	case r.URL.Host == n.metadataHost && response.Header.Get("Metadata-Flavor") != "Google": // other clouds have one at the same address
		return nil, n.note(fmt.Errorf("%s: its answer is not that of such a service", r.URL.Host))
	}
	return response, nil
}

// refused reports whether a service has refused credentials since begin.
func (n *network) refused() bool { return errors.As(n.trouble, new(*refusedError)) }

// refusedError is an answer other than success.
type refusedError struct {
	host  string
	code  int
	words []string
}

// Error names the host, the status and the known words of the answer.
func (e *refusedError) Error() string {
	text := e.host + " says " + strings.TrimSpace(fmt.Sprintf("%d %s", e.code, http.StatusText(e.code)))
	if len(e.words) > 0 {
		text += " (" + strings.Join(e.words, ", ") + ")"
	}
	return text
}

// trouble matches the words by which the services describe errors.
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

// maxTrouble is how many of them a message repeats.
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

// whyNot describes why a request got no answer.
func (n *network) whyNot(err error) error {
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", n.timeout)
	}
	return errors.New(secrets.Printable(err.Error()))
}
