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
	"unicode"

	"berth.dev/berth/secrets"
)

// maxAnswer bounds what a remote service may answer.
const maxAnswer = 64 << 10

// network reaches remote services. The clouds' clients use it for all their calls. It knows no proxy, no cookies and no
// redirects, which would carry credentials elsewhere. What services answer is bounded, and nothing of it gets into an
// error except words that are known beforehand, because it may quote what it was sent.
type network struct {
	base http.RoundTripper
	// timeout bounds each call.
	timeout time.Duration
	// metadataHost is where Google's metadata server is, if there is one.
	metadataHost string
	// trouble is the last thing that went wrong since begin. The clients do not always pass errors on.
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

// client is a new one each time, because the clouds' clients change theirs.
func (n *network) client() *http.Client {
	return &http.Client{
		Transport:     n,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// begin begins with another key.
func (n *network) begin() { n.trouble = nil }

// note keeps an error for explain.
func (n *network) note(err error) error {
	if err != nil {
		n.trouble = err
	}
	return err
}

// explain says why a service gave no key, without what it sent.
func (n *network) explain(err error) string {
	if n.trouble != nil {
		return n.trouble.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", n.timeout)
	}
	return "its answer is not that of such a service"
}

// RoundTrip asks a service. An answer that is no success is an error, but for the challenge by which Azure says whom to
// ask for a token.
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
	_ = response.Body.Close() // all of it that counts was read
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

// refused reports whether a service refused what it was shown since begin.
func (n *network) refused() bool { return errors.As(n.trouble, new(*refusedError)) }

// refusedError is an answer that is no success.
type refusedError struct {
	host  string
	code  int
	words []string
}

// Error names the host, the status and the words that are known.
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

// maxTrouble bounds how many of them a message repeats.
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

// whyNot says why a request got no answer.
func (n *network) whyNot(err error) error {
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", n.timeout)
	}
	return errors.New(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, err.Error()))
}
