package images

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth.dev/berth/internal/nearness"
)

func TestWhichRepositoriesAPullSecretIsFor(t *testing.T) {
	for _, row := range []struct {
		key, repository string
		want            bool
	}{
		{"registry.example.com", "registry.example.com/acme/app", true},
		{"https://registry.example.com", "registry.example.com/acme/app", true},
		{"https://registry.example.com/v2/", "registry.example.com/acme/app", true},
		{"registry.example.com/acme", "registry.example.com/acme/app", true},
		{"registry.example.com/other", "registry.example.com/acme/app", false},
		{"*.example.com", "registry.example.com/acme/app", true},
		{"*.example.com", "example.com/acme/app", false},
		{"*.example.com", "a.b.example.com/acme/app", false},
		{"registry.example.com:5000", "registry.example.com:5000/app", true},
		{"registry.example.com", "registry.example.com:5000/app", false},
		{"registry.example.com.evil.net", "registry.example.com/app", false},
		{"https://index.docker.io/v1/", "index.docker.io/library/nginx", true},
		{"docker.io", "index.docker.io/library/nginx", true},
		{"docker.io/acme", "index.docker.io/library/nginx", false},
		{"[", "registry.example.com/app", false},
		{"", "registry.example.com/app", false},
	} {
		if got := fits(normal(row.key), row.repository); got != row.want {
			t.Errorf("%q for %q: %t", row.key, row.repository, got)
		}
	}
}

func TestTheCredentialsForTheLongestPathComeFirst(t *testing.T) {
	keys := logins{{pattern: "r.example.com", secret: "short"}, {pattern: "r.example.com/acme", secret: "long"}, {pattern: "other.example.com", secret: "other"}}
	if got := keys.of("r.example.com/acme/app"); len(got) != 2 || got[0].secret != "long" || got[1].secret != "short" {
		t.Errorf("got %v", got)
	}
}

// A public registry must not lead the agent to addresses that only the agent can reach.
func TestHowNearARegistryMayLead(t *testing.T) {
	for _, test := range []struct {
		rule, registry, to string
		inside             bool
		registries         Registries
		want               error
	}{
		{rule: "from a public one to its own private address, which a branch may name", registry: "r.example.com", to: "https://r.example.com/v2/"},
		{rule: "to another port of its host", registry: "r.example.com", to: "https://r.example.com:8443/token"},
		{rule: "to a private address", registry: "r.example.com", to: "https://10.96.0.1/token", want: errNearer},
		{rule: "to a private IPv6 address", registry: "r.example.com", to: "https://[fd00::1]:443/token", want: errNearer},
		{rule: "to a pod", registry: "203.0.113.7", to: "https://100.64.0.1/token", want: errNearer},
		{rule: "from an inside one to a private address", registry: "r.example.com", inside: true, to: "https://10.96.0.1/token"},
		{rule: "from a private address to another", registry: "192.168.1.5", to: "https://10.96.0.1/token"},
		{rule: "to what an administrator named", registry: "r.example.com", to: "https://10.96.0.1/token", registries: Registries{Mirrors: map[string][]string{"docker.io": {"10.96.0.1"}}}},
		{rule: "from an inside one to a metadata server", registry: "r.example.com", inside: true, to: "https://169.254.169.254/latest", want: errNear},
	} {
		t.Run(test.rule, func(t *testing.T) {
			sent := &registries{}
			r := &reach{Registries: test.registries, next: sent, abroad: trip(func(*http.Request) (*http.Response, error) { return nil, errors.New("abroad") }), inside: map[string]bool{test.registry: test.inside}}
			ctx, _ := withNotes(t.Context(), test.registry)
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, test.to, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.RoundTrip(request); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// The registry is behind a proxy, so that its address is not known to be this machine's.
func TestARegistryThatSendsTheAgentInside(t *testing.T) {
	const inside = "https://10.96.0.1" // as an address of a token service, the library refuses it
	for rule, answer := range map[string]http.HandlerFunc{
		"for a token": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=%q", inside+"/token", "shop"))
			w.WriteHeader(http.StatusUnauthorized)
		},
		"by a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inside+"/admin", http.StatusTemporaryRedirect)
		},
	} {
		t.Run(rule, func(t *testing.T) {
			server := httptest.NewTLSServer(answer)
			defer server.Close()
			var elsewhere atomic.Int32
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Host != "example.com:443" {
					elsewhere.Add(1)
					return
				}
				to, err := net.Dial("tcp", server.Listener.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer to.Close()
				from, _, err := http.NewResponseController(w).Hijack() // before the answer: the server would read what follows it
				if err != nil {
					t.Error(err)
					return
				}
				defer from.Close()
				_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
				go func() { _, _ = io.Copy(to, from) }()
				_, _ = io.Copy(from, to)
			}))
			defer proxy.Close()
			through, err := url.Parse(proxy.URL)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			w := newWorld(t, Registries{Roots: roots})
			w.transport = newTransport(Config{Registries: w.Registries, Proxy: http.ProxyURL(through)})
			got := w.until(query("a", "example.com/acme/app:1"), isTroubled)
			if refused := got.Refused && strings.Contains(got.Trouble, "example.com: "+errNearer.why); refused == (rule == "for a token") || elsewhere.Load() > 0 {
				t.Errorf("got %+v, after %d requests to elsewhere", got, elsewhere.Load())
			}
		})
	}
}

// A name is checked where it leads, before a connection is made.
func TestAddressesThatNoBranchMayReach(t *testing.T) {
	r := &reach{inside: map[string]bool{}}
	for _, test := range []struct {
		limit   nearness.Nearness
		address string
		want    error
	}{
		{nearness.Private, "127.0.0.1:1", errNear}, {nearness.Private, "169.254.169.254:80", errNear}, {nearness.Public, "127.0.0.1:1", errNear},
		{nearness.Public, "10.96.0.1:443", errNearer}, {nearness.Public, "[fd00::1]:443", errNearer},
	} {
		if _, err := r.dial(test.limit)(t.Context(), "tcp", test.address); !errors.Is(err, test.want) {
			t.Errorf("%s with the limit %d: %v", test.address, test.limit, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ctx, _ = withNotes(ctx, "127.0.0.1")
	_, _ = r.dial(nearness.Private)(ctx, "tcp", "127.0.0.1:1")
	cancel()
	if !r.inside["127.0.0.1"] {
		t.Error("the address of a registry is not remembered")
	}
	r.note("127.0.0.1", nearness.Public)
	for i := range maxInside + 1 {
		r.note(fmt.Sprint(i), nearness.Private)
	}
	if r.inside["127.0.0.1"] || len(r.inside) > maxInside {
		t.Errorf("%d are remembered", len(r.inside))
	}
}

func TestHowLongARegistryWantsToBeLeftAlone(t *testing.T) {
	for header, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "99999999999": maxRetryAfter, "9999999": maxRetryAfter, "Wed, 21 Oct 2026 07:28:00 GMT": 0} {
		if header == "99999999999" {
			want = maxRetryAfter
		}
		if got := retryAfter(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestWhichRegistriesMayBeAsked(t *testing.T) {
	c := New(Config{Registries: Registries{Allowed: []string{"registry.example.com:5000", "*.corp.example.com", "docker.io"}}, Now: time.Now})
	for image, allowed := range map[string]bool{
		"registry.example.com:5000/app": true, "registry.example.com/app": false, "a.corp.example.com/app": true, "a.b.corp.example.com/app": true,
		"corp.example.com/app": false, "evilcorp.example.com/app": false, "nginx": true, "docker.io/acme/app": true, "index.docker.io/acme/app": true,
	} {
		if got := c.target(image, nil).problem == ""; got != allowed {
			t.Errorf("%s: %t", image, got)
		}
	}
}
