package images

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"berth.dev/berth/internal/nearness"
)

// The limits of an answer.
const (
	maxBody   = 1 << 20
	maxHeader = 64 << 10
)

// maxInside bounds how many hosts inside an organization's network are remembered, because branches name them.
const maxInside = 10_000

// reach bounds what the agent connects to for an image that a branch names: hosts by HTTPS with a certificate that it
// trusts, at no address of this machine, its link, or a cloud's metadata server.
type reach struct {
	Registries
	next http.RoundTripper
	// abroad connects to public addresses only. Connections are kept by host, so those of next must not serve its requests.
	abroad http.RoundTripper

	mu      sync.Mutex
	proxies map[string]bool // host and port
	inside  map[string]bool // the registries with an address of an organization's own network, as far as known
}

// errPlain says that a request would have been sent without TLS.
var errPlain = errors.New("plain HTTP is not allowed")

// barredError says that the agent does not send a request.
type barredError struct{ why string }

func (e *barredError) Error() string { return e.why }

// errNearer refuses what a registry leads to. It names no host, because that would come from the registry.
var errNearer = &barredError{"it redirects, or sends the agent for a token, to a host that is nearer to the agent than the registry itself; let both names resolve to addresses of the same network"}

var errNear = &barredError{"its address is one of this machine, its link or a metadata server; correct the image's name"}

func newTransport(c Config) http.RoundTripper {
	r := &reach{Registries: c.Registries, proxies: map[string]bool{}, inside: map[string]bool{}}
	r.next = r.connects(c, r.dial(nearness.Private))
	r.abroad = r.connects(c, r.dial(nearness.Public))
	return transport.NewUserAgent(r, c.UserAgent)
}

// connects returns what sends requests over connections that dial makes.
func (r *reach) connects(c Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) http.RoundTripper {
	return &http.Transport{
		Proxy: r.through(c.Proxy), DialContext: dial, ForceAttemptHTTP2: true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Registries.Roots},
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 10 * time.Second, MaxResponseHeaderBytes: maxHeader,
		IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 1, MaxIdleConns: atOnce,
	}
}

// RoundTrip sends a request if it may be sent. The credentials of one host are not sent to another to which it
// redirects.
func (r *reach) RoundTrip(request *http.Request) (*http.Response, error) {
	host := request.URL.Host
	switch {
	case request.URL.Scheme != "https" && !slices.Contains(r.Insecure, host):
		return nil, errPlain
	case nearness.OfHost(request.URL.Hostname()) == nearness.Local && !r.trusts(host):
		return nil, errNear
	}
	if before := request.Response; before != nil && before.Request.URL.Host != host {
		if request.Body != nil {
			return nil, &barredError{"it redirects credentials to another host"}
		}
		request = request.Clone(request.Context())
		request.Header.Del("Authorization")
	}
	notes, asks := request.Context().Value(notesKey{}).(*notes)
	next := r.next
	if asks && !r.mayLead(notes.registry, request.URL) {
		if nearness.OfHost(request.URL.Hostname()) != nearness.Public {
			return nil, errNearer
		}
		next = r.abroad
	}
	response, err := next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if asks {
		notes.retryAfter = max(notes.retryAfter, retryAfter(response.Header.Get("Retry-After")))
		notes.challenged = notes.challenged || request.Method == http.MethodHead && response.StatusCode == http.StatusUnauthorized
	}
	response.Body = &bounded{ReadCloser: response.Body, left: maxBody}
	return response, nil
}

// mayLead reports whether a registry may lead to any address that a registry may have: on its own host, to a host that an
// administrator named, or because it has a private address itself. Otherwise it may lead to public ones only, as in
// source: it could make the agent connect to addresses that only the agent can reach.
func (r *reach) mayLead(registry string, to *url.URL) bool {
	if strings.EqualFold(registry, to.Hostname()) || r.trusts(to.Host) || nearness.OfHost(registry) != nearness.Public {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inside[registry]
}

// note remembers whether a registry has an address of an organization's own network.
func (r *reach) note(registry string, at nearness.Nearness) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.inside, registry)
	if at == nearness.Public {
		return
	}
	if len(r.inside) >= maxInside {
		clear(r.inside) // the next connections fill it again
	}
	r.inside[registry] = true
}

// trusts reports whether an administrator named the host, so that it may have any address.
func (r *reach) trusts(host string) bool {
	for _, mirrors := range r.Mirrors {
		if slices.Contains(mirrors, host) {
			return true
		}
	}
	return slices.Contains(r.Insecure, host)
}

// dial returns what connects to addresses that are at most as near as a limit. A name is checked after it is resolved, at
// every connection. It is resolved as it stands: the search domains of a pod would make "posts.production" a Service of
// the cluster.
func (r *reach) dial(limit nearness.Nearness) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		notes, asks := ctx.Value(notesKey{}).(*notes)
		own := asks && strings.EqualFold(notes.registry, host)
		trusted := r.isProxy(address) || r.trusts(address) || r.trusts(host)
		dialer := net.Dialer{Timeout: 5 * time.Second}
		dialer.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			near := nearness.Of(at.Addr())
			if own && err == nil && !r.isProxy(address) {
				r.note(notes.registry, near)
			}
			switch {
			case trusted:
				return nil
			case err != nil || near == nearness.Local:
				return errNear
			case near > limit:
				return errNearer
			}
			return nil
		}
		if _, err := netip.ParseAddr(host); err != nil && !trusted && !strings.HasSuffix(host, ".") {
			host += "."
		}
		connection, err := dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
		if barred, ok := errors.AsType[*barredError](err); ok {
			return nil, barred
		}
		return connection, err
	}
}

// through remembers the chosen proxies: an administrator configures them, so they may be anywhere.
func (r *reach) through(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	if choose == nil {
		return nil
	}
	return func(request *http.Request) (*url.URL, error) {
		proxy, err := choose(request)
		if proxy != nil {
			port := proxy.Port()
			if port == "" {
				port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme]
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.proxies[net.JoinHostPort(proxy.Hostname(), port)] = true
		}
		return proxy, err
	}
}

func (r *reach) isProxy(address string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proxies[address]
}

// allowed reports whether a host may be asked.
func (c *Checker) allowed(host string) bool {
	return len(c.Registries.Allowed) == 0 || slices.ContainsFunc(c.Registries.Allowed, func(allowed string) bool {
		below, any := strings.CutPrefix(allowed, "*")
		return host == allowed || any && strings.HasSuffix(host, below)
	})
}

// notes is what the answers to the requests of a question say beside their status.
type notes struct {
	retryAfter time.Duration
	// challenged says that the registry did not accept the token for the manifest.
	challenged bool
	// registry is the host that the question is for, without its port.
	registry string
}

type notesKey struct{}

func withNotes(ctx context.Context, registry string) (context.Context, *notes) {
	n := &notes{registry: registry}
	return context.WithValue(ctx, notesKey{}, n), n
}

// retryAfter reads the header in seconds. As a date it would depend on the registry's clock.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(header))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
}

// bounded ends a body that is too long with an error.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(into []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the answer is too long")
	}
	n, err := b.ReadCloser.Read(into[:min(int64(len(into)), b.left)])
	b.left -= int64(n)
	return n, err
}

func isUnknownHost(err error) bool {
	unknown, ok := errors.AsType[*net.DNSError](err)
	return ok && unknown.IsNotFound
}

func isUntrusted(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, other := errors.AsType[x509.HostnameError](err)
	return untrusted || unknown || other
}
