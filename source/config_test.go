package source

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

func certificate(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestURLs(t *testing.T) {
	tests := []struct {
		url  string
		text string // "" if it is fine
	}{
		{"https://gitlab.example.com/acme/posts.git", ""},
		{"http://gitlab.example.com:8080/acme/posts", ""},
		{"file:///srv/git/posts.git", "--allow-file-urls"},
		{"https://user:planted@gitlab.example.com/acme/posts.git", "move it to the Secret"},
		{"https://planted@gitlab.example.com/acme/posts.git", "move it to the Secret"},
		{"ssh://git:planted@gitlab.example.com/acme/posts.git", "move it to the Secret"},
		{"https://gitlab.example.com/acme/posts.git?private_token=planted", "query"},
		{"git@gitlab.example.com:acme/posts.git", "ssh://git@host"},
		{"git://gitlab.example.com/acme/posts.git", "none of https://"},
		{"ext::sh -c planted", "none of https://"},
		{"https://gitlab.example.com", "no host or no path"},
		{"https:///acme", "no host or no path"},
		{"/srv/git", "none of https://"},
		{"https://user:planted@%zz/", "not a URL"},
		{"", "none of https://"},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			r, err := Open(Config{Dir: t.TempDir(), URL: test.url})
			if test.text == "" {
				must(t, err)
				must(t, r.Close())
				return
			}
			wantReason(t, err, Invalid, test.text)
			if strings.Contains(err.Error(), "planted") {
				t.Errorf("%q holds what may be a secret", err)
			}
		})
	}
}

// secure serves an origin over TLS as well.
func secure(t *testing.T, o *origin) *httptest.Server {
	t.Helper()
	plain, err := url.Parse(o.server.URL())
	must(t, err)
	server := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(plain))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs errors of the client that does not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func TestCertificateAuthorities(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	secure := secure(t, o)
	useTLS := func(c *Config) { c.URL = secure.URL + "/acme/posts.git" }

	_, err := o.open(useTLS).List(soon(t), nil)
	wantReason(t, err, Unreachable, "ca.crt")
	_, err = o.open(useTLS, func(c *Config) { c.Credentials.CA = certificate(secure) }).List(soon(t), nil)
	must(t, err)
	_, err = Open(Config{Dir: t.TempDir(), URL: o.URL(), Credentials: Credentials{CA: []byte("none")}})
	wantReason(t, err, Invalid, "ca.crt holds no certificate")
}

// TLS goes through a tunnel, so the proxy sees only the host.
func TestProxyOfTLS(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	o.server.RequireBasic("git", "planted")
	secure := secure(t, o)
	var seen []*http.Request
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		if r.Header.Get("Proxy-Authorization") == "" {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		tunnel(w, secure.Listener.Addr().String())
	}))
	defer proxy.Close()
	through := func(user *url.Userinfo) func(*Config) {
		return func(c *Config) {
			c.URL = "https://example.com/acme/posts.git" // the host of httptest's certificate
			c.Credentials = Credentials{Password: "planted", CA: certificate(secure)}
			c.Proxy = func(*http.Request) (*url.URL, error) {
				return &url.URL{Scheme: "http", User: user, Host: proxy.Listener.Addr().String()}, nil
			}
		}
	}
	wantFile(t, snapshot(t, o.open(through(url.UserPassword("berth", "planted"))), commit), "f", "1")
	_, err := o.open(through(nil)).List(soon(t), nil)
	wantReason(t, err, Unreachable, "the proxy answers Proxy Authentication Required; check the user and password")
	for _, r := range seen {
		if r.Method != http.MethodConnect || r.Host != "example.com:443" || r.Header.Get("Authorization") != "" {
			t.Errorf("the proxy saw %s %s with %v", r.Method, r.Host, r.Header)
		}
	}
}

// tunnel answers a CONNECT with a connection to an address.
func tunnel(w http.ResponseWriter, address string) {
	there, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	here, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		return
	}
	fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		defer there.Close()
		_, _ = io.Copy(there, here)
	}()
	defer here.Close()
	_, _ = io.Copy(here, there)
}

func TestAStoreThatCannotBeWritten(t *testing.T) {
	o := newOrigin(t)
	occupied := filepath.Join(t.TempDir(), "occupied")
	overwrite(t, occupied, "")
	_, err := Open(Config{Dir: occupied, URL: o.URL()})
	wantReason(t, err, Unreachable, "writable")
}

func TestLocalRepository(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	r := o.open(func(c *Config) { c.URL, c.Local = "file://"+o.Dir(), AllowLocal })
	wantHead(t, r, "main", commit)
	wantFile(t, snapshot(t, r, commit), "f", "1")
	o.wantRequests()

	_, err := o.open(func(c *Config) { c.URL, c.Local = "file://"+o.Dir()+"/none", AllowLocal }).List(soon(t), nil)
	wantReason(t, err, NotFound, "does not appear to be a git repository")
}
