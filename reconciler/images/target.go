package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// answerTimeout bounds a question with one credential, with the requests for a token. questionTimeout bounds one with all
// credentials, at the mirrors and at the registry.
const (
	answerTimeout   = 15 * time.Second
	questionTimeout = 2 * answerTimeout
)

// manifests are the types of manifests, as registries know them. With an index, the image exists for some platform, and
// that is enough.
var manifests = strings.Join([]string{
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
}, ", ")

// result is what came of a question.
type result struct {
	kind kind
	// text says why there is no answer, without foreign text.
	text string
	// retryAfter is how long the registry wants to be left alone.
	retryAfter time.Duration
}

// kind is the kind of a result, from the best to the worst: of several places, the best result counts.
type kind string

const (
	there      kind = "there"
	missing    kind = "missing"
	unanswered kind = "unanswered"
	refused    kind = "refused"
	// unasked is the kind of a result that is none.
	unasked kind = ""
)

var ranks = []kind{there, missing, unanswered, refused}

func (r result) better(o result) bool {
	return slices.Index(ranks, r.kind) < slices.Index(ranks, o.kind)
}

// target is an image in a registry, and in its mirrors.
type target struct {
	registry string // its host, as people write it
	problem  string // why it is not asked; empty: it is
	doors    []*door
}

// door is one way to ask for an image: at a host, with credentials.
type door struct {
	ref       name.Reference
	host      string
	login     login // without a Secret: none
	transport http.RoundTripper
	session   http.RoundTripper // logged in; nil: not yet
}

// target returns the ways to ask for an image. The credentials for a host are used for that host only.
func (c *Checker) target(image string, keys logins) target {
	ref, err := c.parse(image)
	if err != nil {
		return target{problem: "its name is not valid; correct it in Git"}
	}
	t := target{registry: people(ref.Context().RegistryStr())}
	if !c.allowed(t.registry) {
		t.problem = fmt.Sprintf("the agent may not ask %s: its --registry-allow does not have it; add it there", t.registry)
		return t
	}
	for _, mirror := range c.Registries.Mirrors[t.registry] {
		if at, err := c.parse(mirror + "/" + ref.Context().RepositoryStr() + separator(ref) + ref.Identifier()); err == nil {
			t.doors = append(t.doors, c.doors(at, keys)...)
		}
	}
	t.doors = append(t.doors, c.doors(ref, keys)...)
	return t
}

func separator(ref name.Reference) string {
	if _, ok := ref.(name.Digest); ok {
		return "@"
	}
	return ":"
}

func (c *Checker) doors(ref name.Reference, keys logins) []*door {
	var doors []*door
	host := people(ref.Context().RegistryStr())
	for _, l := range keys.of(ref.Context().Name()) {
		doors = append(doors, &door{ref: ref, host: host, login: l, transport: c.transport})
	}
	if len(doors) == 0 {
		doors = append(doors, &door{ref: ref, host: host, transport: c.transport})
	}
	return doors
}

// auth returns what the door logs in with.
func (d *door) auth() authn.Authenticator {
	if d.login.secret == "" {
		return authn.Anonymous
	}
	return authn.FromConfig(d.login.auth)
}

// digest identifies the credentials, so that only environments with the same ones share an answer.
func (t target) digest() string {
	parts := make([][]string, 0, len(t.doors))
	for _, d := range t.doors {
		parts = append(parts, d.login.parts())
	}
	encoded, err := json.Marshal(parts)
	if err != nil {
		return "" // texts can always be encoded
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

// parse reads an image's name as Kubernetes does.
func (c *Checker) parse(image string) (name.Reference, error) {
	ref, err := name.ParseReference(image)
	if err == nil && slices.Contains(c.Registries.Insecure, people(ref.Context().RegistryStr())) {
		return name.ParseReference(image, name.Insecure)
	}
	return ref, err
}

// people returns a registry's host as people write it in images.
func people(host string) string {
	if host == name.DefaultRegistry {
		return "docker.io"
	}
	return strings.ToLower(host)
}

// ask asks at all doors, until one has the image.
func (t target) ask(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	best := result{kind: refused}
	for i, d := range t.doors {
		if r := d.ask(ctx); i == 0 || r.better(best) {
			best = r
		}
		if best.kind == there {
			break
		}
	}
	return best
}

// ask asks for the manifest. It logs in first, and again after trouble.
func (d *door) ask(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	ctx, notes := withNotes(ctx, (&url.URL{Host: d.ref.Context().RegistryStr()}).Hostname())
	if d.session == nil {
		scopes := []string{d.ref.Scope(transport.PullScope)}
		session, err := transport.NewWithContext(ctx, d.ref.Context().Registry, d.auth(), d.transport, scopes)
		if err != nil {
			return d.failed(err, notes)
		}
		d.session = session
	}
	r := d.head(ctx, notes)
	if r.kind != there && r.kind != missing || notes.challenged {
		d.session = nil // it keeps each scope that a registry asks for
	}
	return r
}

func (d *door) head(ctx context.Context, notes *notes) result {
	registry := d.ref.Context().Registry
	address := fmt.Sprintf("%s://%s/v2/%s/manifests/%s", registry.Scheme(), registry.RegistryStr(), d.ref.Context().RepositoryStr(), d.ref.Identifier())
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return result{kind: refused, text: "its name is not valid"}
	}
	request.Header.Set("Accept", manifests)
	response, err := (&http.Client{Transport: d.session}).Do(request)
	if err != nil {
		return d.failed(err, notes)
	}
	_ = response.Body.Close() // a HEAD has none
	switch response.StatusCode {
	case http.StatusOK:
		return result{kind: there}
	case http.StatusNotFound:
		return result{kind: missing}
	}
	return d.status(response.StatusCode, notes)
}

// failed judges an error of the login, or of a request without an answer.
func (d *door) failed(err error, notes *notes) result {
	if answered, ok := errors.AsType[*transport.Error](err); ok {
		return d.status(answered.StatusCode, notes)
	}
	if barred, ok := errors.AsType[*barredError](err); ok {
		return result{kind: refused, text: d.host + ": " + barred.Error()}
	}
	return result{kind: unanswered, text: d.host + " " + unreachable(err)}
}

// status judges an answer that says nothing about the image.
func (d *door) status(code int, notes *notes) result {
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		with, next := "a pull without credentials", "if the image is private, name a Secret in imagePullSecrets"
		if d.login.secret != "" {
			with, next = "the credentials in "+d.login.secret, "correct that Secret"
		}
		return result{kind: refused, text: fmt.Sprintf("%s refuses %s (%d); %s", d.host, with, code, next)}
	case code == http.StatusTooManyRequests:
		return result{kind: unanswered, text: d.host + rateLimited, retryAfter: notes.retryAfter}
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusNotImplemented:
		return result{kind: refused, text: fmt.Sprintf("%s does not answer like a registry (%d); correct the image's name", d.host, code)}
	}
	return result{kind: unanswered, text: fmt.Sprintf("%s answers %d; look at the registry", d.host, code), retryAfter: notes.retryAfter}
}

// rateLimited follows the name of a registry.
const rateLimited = " limits the rate of requests; wait, or use a pull Secret of its own, because limits count per account"

// unreachable says why there was no answer, without addresses: the texts must not depend on what is at them.
func unreachable(err error) string {
	switch {
	case isUnknownHost(err):
		return "cannot be resolved; check its name, and the DNS of the agent's pod"
	case isUntrusted(err):
		return "has a certificate that the agent does not trust; see --registry-ca"
	case errors.Is(err, errPlain):
		return "cannot be reached by HTTPS; see --registry-insecure"
	}
	return "cannot be reached; check that the agent's pod may reach it"
}
