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
)

// The limits of an answer.
const (
	maxBody   = 1 << 20
	maxHeader = 64 << 10
)

// reach bounds what the agent connects to for an image that a branch names: hosts by HTTPS with a certificate that it
// trusts, at no address of this machine, its link, or a cloud's metadata server.
type reach struct {
	Registries
	next    http.RoundTripper
	mu      sync.Mutex
	proxies map[string]bool // host and port
}

// errPlain says that a request would have been sent without TLS.
var errPlain = errors.New("plain HTTP is not allowed")

// barredError says that the agent does not send a request.
type barredError struct{ why string }

func (e *barredError) Error() string { return e.why }

var errNear = &barredError{"its address is one of this machine, its link or a metadata server; correct the image's name"}

func newTransport(c Config) http.RoundTripper {
	r := &reach{Registries: c.Registries, proxies: map[string]bool{}}
	r.next = &http.Transport{
		Proxy: r.through(c.Proxy), DialContext: r.dial, ForceAttemptHTTP2: true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Registries.Roots},
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 10 * time.Second, MaxResponseHeaderBytes: maxHeader,
		IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 1, MaxIdleConns: atOnce,
	}
	return transport.NewUserAgent(r, c.UserAgent)
}

// RoundTrip sends a request if it may be sent. The credentials of one host are not sent to another to which it
// redirects.
func (r *reach) RoundTrip(request *http.Request) (*http.Response, error) {
	host := request.URL.Host
	switch {
	case request.URL.Scheme != "https" && !slices.Contains(r.Insecure, host):
		return nil, errPlain
	case namesNear(request.URL.Hostname()) && !r.trusts(host):
		return nil, errNear
	}
	if before := request.Response; before != nil && before.Request.URL.Host != host {
		if request.Body != nil {
			return nil, &barredError{"it redirects credentials to another host"}
		}
		request = request.Clone(request.Context())
		request.Header.Del("Authorization")
	}
	response, err := r.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if notes, ok := request.Context().Value(notesKey{}).(*notes); ok {
		notes.retryAfter = max(notes.retryAfter, retryAfter(response.Header.Get("Retry-After")))
		notes.challenged = notes.challenged || request.Method == http.MethodHead && response.StatusCode == http.StatusUnauthorized
	}
	response.Body = &bounded{ReadCloser: response.Body, left: maxBody}
	return response, nil
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

// dial connects to an address. A name is checked after it is resolved, at every connection. It is resolved as it stands:
// the search domains of a pod would make "posts.production" a Service of the cluster.
func (r *reach) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if r.isProxy(address) || r.trusts(address) || r.trusts(host) {
		return dialer.DialContext(ctx, network, address)
	}
	dialer.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(resolved); err != nil || isNear(at.Addr()) {
			return errNear
		}
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil && !strings.HasSuffix(host, ".") {
		host += "."
	}
	connection, err := dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
	if barred, ok := errors.AsType[*barredError](err); ok {
		return nil, barred
	}
	return connection, err
}

// namesNear reports whether a host is a near address, or a name of this machine. Behind a proxy, nothing else is known.
func namesNear(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return isNear(address)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// metadata are addresses of metadata servers of clouds that are not link-local.
var metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192")}

// translated is the prefix of IPv6 addresses that a network translates to IPv4 (RFC 6052).
var translated = netip.MustParsePrefix("64:ff9b::/96")

// isNear reports whether an address is one of this machine, its link, no single host, or a cloud's metadata server.
func isNear(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	if translated.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return address.IsLoopback() || address.IsLinkLocalUnicast() || address.IsUnspecified() || address.IsMulticast() ||
		address.Is4() && (address.As4()[0] == 0 || address.As4()[0] >= 240) || slices.Contains(metadata, address)
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
}

type notesKey struct{}

func withNotes(ctx context.Context) (context.Context, *notes) {
	n := &notes{}
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
