package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Reason classifies an [Error]. It decides a condition, and whether to retry.
type Reason string

const (
	Unreachable  Reason = "Unreachable"  // the server did not answer, not in time, or with an error of its own; retry
	Unauthorized Reason = "Unauthorized" // the server requires other credentials
	NotFound     Reason = "NotFound"     // no such repository, or not for these credentials
	Empty        Reason = "Empty"        // the repository has no branches
	NotGit       Reason = "NotGit"       // the answer is not a Git server's
	TooLarge     Reason = "TooLarge"     // a limit was exceeded
	Full         Reason = "Full"         // the disk has no room; retry when it has
	Refused      Reason = "Refused"      // the server refuses to send the commit, or the tree holds something that Berth does not follow
	Corrupt      Reason = "Corrupt"      // received or stored data does not match its object id
	Dropped      Reason = "Dropped"      // the store was renewed without the commit; a new Snapshot fetches it again
	Unsupported  Reason = "Unsupported"  // a form of Git that Berth does not support, such as SHA-256 objects
	Invalid      Reason = "Invalid"      // the configuration cannot work as it is
)

// Error says which operation on a repository failed, why, and what a user can do about it. It holds no credentials.
type Error struct {
	Reason Reason
	Op     string // what was attempted, as in "cannot <Op>"
	Commit string // if the error is about one commit
	Path   string // if the error is about one file or folder
	Cause  string
	Hint   string // the next step for a user, "" if there is none but to wait
	Err    error  // the underlying error, for errors.Is; its text is part of Cause if it is fit to print
}

// Error returns the operation, the cause, and the next step.
func (e *Error) Error() string {
	text := "cannot " + e.Op + ": " + e.Cause
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Why returns the cause and the next step without the operation, for callers that have named it already.
func (e *Error) Why() (cause, hint string) { return e.Cause, e.Hint }

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason in an error of this package, or "".
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// fault is an error without its operation, as the protocol's layers return it; [classify] completes it.
type fault struct {
	reason      Reason
	cause, hint string
	err         error
}

func (f *fault) Error() string { return f.cause }
func (f *fault) Unwrap() error { return f.err }

func faultf(reason Reason, format string, args ...any) *fault {
	return &fault{reason: reason, cause: fmt.Sprintf(format, args...)}
}

func isCorrupt(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.reason == Corrupt
}

// remoteError is a message of the server itself, in an ERR packet or on the error band.
type remoteError string

func (e remoteError) Error() string { return "the server says: " + string(e) }

// classify turns any error during op into an *Error, once.
func classify(op string, credentials Credentials, err error) error {
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	e := &Error{Op: op, Err: err}
	var f *fault
	var remote remoteError
	switch {
	case errors.As(err, &f):
		e.Reason, e.Cause, e.Hint = f.reason, f.cause, f.hint
	case errors.As(err, &remote):
		e.Reason, e.Hint = remote.meaning()
		e.Cause = credentials.scrub(remote.Error())
	case errors.Is(err, context.DeadlineExceeded):
		e.Reason, e.Cause = Unreachable, "the server took too long"
	case errors.Is(err, context.Canceled):
		e.Reason, e.Cause = Unreachable, "it was interrupted"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		e.Reason, e.Cause = Unreachable, "the answer was cut off"
	default:
		e.Reason, e.Cause, e.Hint = networkTrouble(err)
		e.Cause = credentials.scrub(e.Cause)
	}
	return e
}

// meaning reads the messages of git, GitHub, GitLab and Gitea, which are the only way to distinguish these cases.
func (e remoteError) meaning() (Reason, string) {
	text := strings.ToLower(string(e))
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("not our ref", "unadvertised object", "no such remote ref"):
		return Refused, "the commit is gone from the server, or it gives commits by id only with uploadpack.allowReachableSHA1InWant"
	case has("not found", "could not be found", "does not exist", "does not appear to be a git repository"):
		return NotFound, "check the URL, and that the credentials may read the repository"
	case has("denied", "not allowed", "permission", "unauthorized", "authenticat"):
		return Unauthorized, "check the credentials in the repository's Secret"
	}
	return Unreachable, "" // a hiccup, until it proves to be more
}

// proxyHint is for administrators of the agent: a Repository does not configure proxies.
const proxyHint = "check the user and password in the agent's HTTP_PROXY or HTTPS_PROXY"

// networkTrouble describes errors of net, crypto/tls and crypto/x509. It leaves out the text of a *url.Error because
// that quotes the URL.
func networkTrouble(err error) (Reason, string, string) {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return Unreachable, dns.Error(), "check the host's name"
	case errors.As(err, &timeout) && timeout.Timeout():
		return Unreachable, "the server took too long", ""
	case strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)): // net/http's text for CONNECT
		return Unreachable, "the proxy answers " + err.Error(), proxyHint
	case strings.Contains(err.Error(), "x509: "):
		return Unreachable, err.Error(), "add the authority's certificate as ca.crt to the repository's Secret"
	}
	return Unreachable, err.Error(), ""
}

// corrupt reports an object that is missing or unreadable, in the store's own words. A failure because the disk or
// the process is at its limits says nothing about the object.
func corrupt(what string, id plumbing.Hash, err error) error {
	var disk *os.PathError
	if errors.As(err, &disk) && !errors.Is(err, os.ErrNotExist) {
		return &fault{reason: Unreachable, cause: fmt.Sprintf("the store cannot be read: %v", err), err: err}
	}
	return &fault{reason: Corrupt, cause: fmt.Sprintf("%s %s is damaged or missing: %v", what, id, err), err: err}
}
