// Package login finds out who looks at the page in the cluster: by OpenID Connect, or from a proxy that authenticates.
// It keeps nothing in memory about a viewer. Sessions are in sealed cookies, so that each replica can read them.
package login

import (
	"context"
	"fmt"
	"time"
)

// Viewer is a user, under the names that RBAC knows. Its User is never empty.
type Viewer struct {
	User   string
	Groups []string
}

// Session is one login of a viewer.
type Session struct {
	Viewer
	// ID differs for each login. It is empty if a proxy authenticates each request.
	ID string
	// FormToken is what forms of this session send back.
	FormToken string
	// Expires is when the session ends; zero if a proxy authenticates each request.
	Expires time.Time
}

// Secrets are the entries of the page's Secret.
type Secrets struct {
	// Client is the client secret at the issuer; empty for a public client.
	Client string
	// Proxy is what a proxy that authenticates sends with each request.
	Proxy string
	// Authorities are further certificates, in PEM, that may sign the issuer's certificate.
	Authorities []byte
}

// ReadSecrets reads the page's Secret. It is called for each request, so it should answer from memory.
type ReadSecrets func(context.Context) (Secrets, error)

// Refusal is a request that is not let in. Its title and text are for the viewer.
type Refusal struct {
	// Code is the HTTP status.
	Code        int
	Title, Text string
	// Cause is for the log, and may be nil. It has no credentials.
	Cause error
}

// Error returns the text, and the cause.
func (r *Refusal) Error() string {
	if r.Cause == nil {
		return r.Title + ": " + r.Text
	}
	return fmt.Sprintf("%s: %s: %v", r.Title, r.Text, r.Cause)
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Cause }
