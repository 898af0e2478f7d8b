package source

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"berth.dev/berth/internal/nearness"
)

// reach decides which addresses may be connected to. The host that the administrator configured may be anywhere. A
// redirect must not lead closer to this machine than that host is. Otherwise the server could make the agent connect
// to addresses that only the agent can reach.
type reach struct {
	origin string // the host of the repository's URL

	mu      sync.Mutex
	nearest nearness.Nearness // address of the origin so far
	proxies map[string]bool   // host and port of the chosen proxies
}

// dial connects to an address. A name is checked after it is resolved, at every connection.
func (r *reach) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	switch {
	case r.isProxy(address):
	case strings.EqualFold(host, r.origin):
		dialer.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			if at, err := netip.ParseAddrPort(resolved); err == nil {
				r.note(nearness.Of(at.Addr()))
			}
			return nil
		}
	default:
		dialer.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			return r.check(host, at.Addr())
		}
	}
	connection, err := dialer.DialContext(ctx, network, address)
	var refused *fault
	if errors.As(err, &refused) {
		return nil, refused
	}
	return connection, err
}

// checkLiteral refuses a redirect by the address that it names. Behind a proxy only that address is known.
func (r *reach) checkLiteral(host string) error {
	if strings.EqualFold(host, r.origin) {
		return nil
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return r.check(host, address)
	}
	if nearness.OfHost(host) == nearness.Local {
		return r.check(host, netip.IPv6Loopback())
	}
	return nil
}

func (r *reach) check(host string, address netip.Addr) error {
	if nearness.Of(address) <= r.allowed() {
		return nil
	}
	at := address.String()
	if host != at {
		at = host + " (" + at + ")"
	}
	return &fault{reason: Refused, cause: "the server redirects to " + at + ", which is nearer to the agent than the server itself",
		hint: "put the address that it redirects to into the Repository, if you trust it"}
}

// allowed returns how near a redirect may lead.
func (r *reach) allowed() nearness.Nearness {
	if address, err := netip.ParseAddr(r.origin); err == nil {
		return nearness.Of(address)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nearest
}

func (r *reach) note(n nearness.Nearness) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nearest = n
}

// throughProxy remembers the chosen proxies: an administrator configures them, so they may be anywhere.
func (r *reach) throughProxy(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	if choose == nil {
		return nil
	}
	return func(request *http.Request) (*url.URL, error) {
		proxy, err := choose(request)
		if proxy != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.proxies == nil {
				r.proxies = map[string]bool{}
			}
			r.proxies[dialed(proxy)] = true
		}
		return proxy, err
	}
}

// dialed returns the address at which net/http dials a URL.
func dialed(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (r *reach) isProxy(address string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proxies[address]
}
