package forge

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Reason classifies an [Error].
type Reason string

const (
	Unreachable  Reason = "Unreachable"  // the forge did not answer, or with an error of its own; retry
	RateLimited  Reason = "RateLimited"  // the forge allows no more requests for now; retry later
	Unauthorized Reason = "Unauthorized" // the forge does not accept the token
	Forbidden    Reason = "Forbidden"    // the token lacks a permission
	NotFound     Reason = "NotFound"     // no such project, commit or note, or not for this token
	Refused      Reason = "Refused"      // the forge refuses the request for another reason
	Invalid      Reason = "Invalid"      // the configuration cannot work as it is
)

// Error says what could not be done, why, and what a user can do about it. It holds no credentials.
type Error struct {
	Reason Reason
	Op     string // what was attempted, as in "cannot <Op>"
	Cause  string
	Hint   string // the next step for a user, "" if there is none but to wait
	// Answered reports that the forge answered this request. Otherwise others will fare alike.
	Answered bool
	// After is the time that the forge asks to wait before the next request; 0: it does not say.
	After time.Duration
}

// Error returns the operation, the cause, and the next step.
func (e *Error) Error() string {
	text := "cannot " + e.Op + ": " + e.Cause
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// ReasonOf returns the reason in an error of this package, or "".
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// operation is an attempt at something, in words for people.
type operation struct {
	does  string // as in "cannot <does>"
	needs string // the permission that it needs, as the forge names it
}

// attempt is an operation whose request was sent.
type attempt struct {
	operation
	token string // of this request, which errors must not quote
}

// scrub removes the token from foreign text.
func (a attempt) scrub(text string) string {
	if a.token == "" {
		return text
	}
	return strings.ReplaceAll(text, a.token, "[redacted]")
}

// maxQuote bounds how much of a forge's answer an error quotes, in bytes.
const maxQuote = 300

// answered returns the error of an answer; nil if the forge did what it was asked for.
func (c *connection) answered(op attempt, response *http.Response, body []byte) error {
	code := response.StatusCode
	if code < http.StatusMultipleChoices {
		return nil
	}
	status := fmt.Sprintf("%d %s", code, http.StatusText(code))
	e := &Error{Op: op.does, Cause: "the forge answers " + status, After: c.retryAfter(response), Answered: true}
	if said := c.quote(op, body); said != "" && said != status && code >= http.StatusBadRequest {
		e.Cause += ": " + said
	}
	limited := code == http.StatusForbidden && (e.After > 0 || strings.Contains(strings.ToLower(e.Cause), "rate limit"))
	switch {
	case code == http.StatusTooManyRequests || limited:
		e.Reason, e.Hint = RateLimited, "reports continue when the forge allows it"
	case code == http.StatusUnauthorized:
		e.Reason, e.Hint = Unauthorized, "check the Secret that spec.feedback.secretRef names: the token is wrong, expired or revoked"
	case code == http.StatusForbidden:
		e.Reason, e.Hint = Forbidden, "the token needs "+op.needs
		if strings.Contains(e.Cause, "insufficient_granular_scope") { // https://docs.gitlab.com/auth/tokens/fine_grained_access_tokens/
			e.Hint = "give the fine-grained token the permissions that GitLab names, or use a token with " + op.needs
		}
		if wanted := response.Header.Get("X-Accepted-GitHub-Permissions"); wanted != "" {
			e.Hint += " (GitHub asks for " + clean(wanted, maxQuote) + ")"
		}
	case code == http.StatusNotFound || code == http.StatusGone:
		e.Reason, e.Hint = NotFound, "check spec.url, and that the token's user may see the project and the token has "+op.needs
	case code == http.StatusMethodNotAllowed:
		e.Reason, e.Hint = NotFound, "this may be another forge: check spec.feedback.provider and spec.feedback.url"
	case code == http.StatusConflict || code == http.StatusRequestTimeout || code >= http.StatusInternalServerError:
		e.Reason = Unreachable // a conflict means that GitLab is updating the same commit
	case code < http.StatusBadRequest:
		e.Reason, e.Hint = NotFound, "the project has moved: put its new address into spec.url"
	default:
		e.Reason = Refused
	}
	return e
}

// retryAfter returns how long the forge asks to wait. GitHub has a second header for its hourly limit:
// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
func (c *connection) retryAfter(response *http.Response) time.Duration {
	h := response.Header
	var seconds int64
	if _, err := fmt.Sscan(h.Get("Retry-After"), &seconds); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		return max(0, at.Sub(c.Now()))
	}
	if _, err := fmt.Sscan(h.Get("X-RateLimit-Reset"), &seconds); err == nil && h.Get("X-RateLimit-Remaining") == "0" {
		return max(time.Second, time.Unix(seconds, 0).Sub(c.Now()))
	}
	return 0
}

// quote returns the forge's own words in the body of an answer that is not a success. GitLab has three forms, and the
// others one: https://docs.gitlab.com/api/rest/troubleshooting/
func (c *connection) quote(op attempt, body []byte) string {
	var said struct {
		Message     any    `json:"message"`
		Error       any    `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &said) != nil {
		return "" // a page for browsers
	}
	var parts []string
	for _, part := range []any{said.Message, said.Error, said.Description} {
		text, isText := part.(string)
		if !isText && part != nil {
			encoded, _ := json.Marshal(part) // it was decoded from JSON
			text = string(encoded)
		}
		if text != "" {
			parts = append(parts, text)
		}
	}
	return clean(op.scrub(strings.Join(parts, ": ")), maxQuote)
}

// clean returns a text on one line, without characters that could hide or reorder others, and cut to a number of bytes.
func clean(text string, most int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	text = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-len("…")], "") + "…"
	}
	return text
}

// unsent returns the error of a request without an answer. It leaves out the text of a *url.Error, which quotes the URL.
func (c *connection) unsent(op attempt, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return &Error{Reason: known.Reason, Op: op.does, Cause: known.Cause, Hint: known.Hint}
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	e := &Error{Reason: Unreachable, Op: op.does, Cause: clean(op.scrub(err.Error()), maxQuote)}
	var opened *net.OpError
	if errors.As(err, &opened) && opened.Op != "dial" {
		e.Cause = clean(opened.Err.Error(), maxQuote) // without the local port, which differs each time
	}
	var timeout net.Error
	var authority x509.UnknownAuthorityError
	var name *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		e.Cause = "the forge took too long"
	case errors.As(err, &authority):
		e.Hint = "add the authority's certificate as ca.crt to the Secret"
	case errors.As(err, &name):
		e.Hint = "check the host's name"
	}
	return e
}

// IsGeneral reports whether an error of this package concerns all requests to the forge, and not only one.
func IsGeneral(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Reason == Unauthorized || e.Reason == RateLimited || e.Reason == Invalid || !e.Answered)
}

// WaitOf returns how long the forge asked to wait, in an error of this package; 0: it did not say.
func WaitOf(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.After
	}
	return 0
}
