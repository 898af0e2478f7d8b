package source

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// httpTransport speaks Git's smart HTTP. Only the greeting may be redirected. Later requests go to its target, with
// credentials only if that is still the repository's own host.
type httpTransport struct {
	client      *http.Client
	credentials Credentials
	origin      *url.URL // as configured

	reach reach

	mu   sync.Mutex
	base *url.URL // where the last greeting came from
}

// maxResponseHeader bounds the headers of an answer.
const maxResponseHeader = 64 << 10

func newHTTPTransport(config Config, u *url.URL) (*httpTransport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(config.Credentials.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a minimal image has none
		}
		if !pool.AppendCertsFromPEM(config.Credentials.CA) {
			return nil, &fault{reason: Invalid, cause: "ca.crt holds no certificate", hint: "it must be PEM"}
		}
		tlsConfig.RootCAs = pool
	}
	t := &httpTransport{credentials: config.Credentials, origin: u, base: u, reach: reach{origin: u.Hostname()}}
	t.client = &http.Client{
		CheckRedirect: t.checkRedirect,
		Transport: &http.Transport{
			Proxy:                  t.reach.throughProxy(config.Proxy),
			DialContext:            t.reach.dial,
			TLSHandshakeTimeout:    10 * time.Second,
			TLSClientConfig:        tlsConfig,
			ForceAttemptHTTP2:      true,
			IdleConnTimeout:        5 * time.Minute, // longer than the usual poll interval, so that a poll needs no handshake
			MaxIdleConnsPerHost:    2,
			MaxResponseHeaderBytes: maxResponseHeader,
		},
	}
	return t, nil
}

func (t *httpTransport) stateless() bool { return true }
func (t *httpTransport) close()          { t.client.CloseIdleConnections() }

func (t *httpTransport) connect(ctx context.Context) (exchange, error) {
	return &httpExchange{transport: t, ctx: ctx}, nil
}

// checkRedirect is stricter than net/http, which keeps the credentials for subdomains and other ports.
func (t *httpTransport) checkRedirect(next *http.Request, via []*http.Request) error {
	switch {
	case len(via) > 5:
		return faultf(Unreachable, "the server redirects in circles")
	case next.Method != http.MethodGet || via[0].Method != http.MethodGet:
		return http.ErrUseLastResponse
	case t.origin.Scheme == "https" && next.URL.Scheme != "https":
		return faultf(Refused, "the server redirects to an unencrypted address")
	case !t.own(next.URL):
		next.Header.Del("Authorization")
	}
	return t.reach.checkLiteral(next.URL.Hostname())
}

// own reports whether an address has the host, port and scheme that the administrator configured.
func (t *httpTransport) own(u *url.URL) bool {
	return u.Scheme == t.origin.Scheme && strings.EqualFold(u.Host, t.origin.Host)
}

func (t *httpTransport) target() *url.URL {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.base
}

func (t *httpTransport) moveTo(base *url.URL) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base = base
}

// errMoved means that a request was answered by a redirect, which only a greeting follows.
var errMoved = errors.New("the repository has moved")

// httpExchange is stateless: its requests share nothing but the context.
type httpExchange struct {
	transport *httpTransport
	ctx       context.Context
	bodies    []io.ReadCloser
}

func (x *httpExchange) greet() (io.Reader, error) {
	t := x.transport
	address := t.origin.JoinPath("info/refs")
	address.RawQuery = "service=git-upload-pack"
	response, err := x.do(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	landed := response.Request.URL
	base := *landed
	base.RawQuery = ""
	base.RawPath = strings.TrimSuffix(landed.EscapedPath(), "/info/refs")
	var found bool
	base.Path, found = strings.CutSuffix(landed.Path, "/info/refs")
	if err := t.checkAnswer(response, "application/x-git-upload-pack-advertisement"); err != nil {
		return nil, err
	}
	if !found {
		return nil, faultf(NotGit, "the server redirects to an address that is not a repository")
	}
	t.moveTo(&base)
	return response.Body, nil
}

func (x *httpExchange) request(body []byte) (io.Reader, error) {
	response, err := x.do(http.MethodPost, x.transport.target().JoinPath("git-upload-pack"), body)
	if err != nil {
		return nil, err
	}
	return response.Body, x.transport.checkAnswer(response, "application/x-git-upload-pack-result")
}

func (x *httpExchange) do(method string, address *url.URL, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(x.ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "git/"+agent) // some servers answer only clients named git
	request.Header.Set("Git-Protocol", "version=2")
	if method == http.MethodPost {
		// Requests change nothing, so net/http may repeat one when a kept connection turns out to be closed. An empty
		// value is not sent.
		request.Header["X-Idempotency-Key"] = []string{}
		request.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		request.Header.Set("Accept", "application/x-git-upload-pack-result")
	}
	if x.transport.own(address) {
		x.transport.credentials.authorize(request)
	}
	response, err := x.transport.client.Do(request)
	if err != nil {
		return nil, err
	}
	x.bodies = append(x.bodies, response.Body)
	return response, nil
}

// Close returns the connections. It first reads the rest of an answer, mostly a chunked body's end, so that the
// connection can be reused.
func (x *httpExchange) Close() error {
	for _, body := range x.bodies {
		_, _ = io.CopyN(io.Discard, body, 4<<10)
		_ = body.Close()
	}
	return nil
}

// checkAnswer turns every answer that is not Git's into a fault. The body of such an answer is a page for browsers,
// so it is not quoted.
func (t *httpTransport) checkAnswer(response *http.Response, contentType string) error {
	status := fmt.Sprintf("the server answers %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	moved := !t.own(response.Request.URL)
	switch code := response.StatusCode; {
	case code == http.StatusOK && response.Header.Get("Content-Type") == contentType:
		return nil
	case code == http.StatusOK:
		return &fault{reason: NotGit, cause: "what answers is not a Git server, or only a dumb one",
			hint: "check the URL; it must be the one that git clone takes"}
	case moved && code >= 400 && code < 500:
		return &fault{reason: Unauthorized,
			cause: fmt.Sprintf("%s after redirecting to %s, where the credentials are not sent", status, redact(response.Request.URL)),
			hint:  "put the address that it redirects to into the Repository, if you trust it"}
	case (code == http.StatusUnauthorized || code == http.StatusForbidden) && !t.credentials.given():
		return &fault{reason: Unauthorized, cause: status + ": it wants credentials",
			hint: "name a Secret with username and password, or bearerToken, in secretRef"}
	case code == http.StatusForbidden:
		return &fault{reason: Unauthorized, cause: status + ": the credentials do not give the right to read this repository",
			hint: "give the token the scope for that (GitLab: read_repository, GitHub: Contents: read, Gitea: read:repository), and its user access to the repository"}
	case code == http.StatusUnauthorized:
		return &fault{reason: Unauthorized, cause: status + ": it does not accept the credentials",
			hint: "check the Secret that secretRef names: is the token expired, may it read this repository?"}
	case code == http.StatusNotFound || code == http.StatusGone:
		return &fault{reason: NotFound, cause: status,
			hint: "check the URL and the credentials: servers also answer this for what one may not see"}
	case code == http.StatusProxyAuthRequired:
		return &fault{reason: Unreachable, cause: strings.Replace(status, "server", "proxy", 1), hint: proxyHint}
	case code == http.StatusTooManyRequests || code >= 500:
		return faultf(Unreachable, "%s", status)
	case code >= 300 && code < 400:
		return &fault{reason: Refused, cause: status + ", a redirect that is not followed",
			hint: "put the address that it redirects to into the Repository", err: errMoved}
	}
	return &fault{reason: NotGit, cause: status, hint: "check the URL"}
}
