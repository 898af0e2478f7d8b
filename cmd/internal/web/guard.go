package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"html"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// policy lets a page load only what this server serves. Scripts and styles inside a page do not run.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// maxForm is the size of the largest form.
const maxForm = 64 << 10

// Guard protects a page on the viewer's own machine. Other programs there, other users, and web pages in the viewer's
// browser can reach its address too, but do not know its token.
type Guard struct {
	next   http.Handler
	hosts  []string
	cookie string
	// key is in the address that the viewer opens, and then in a cookie.
	key string

	mu     sync.Mutex
	ticket string // opens the page once; empty when used
}

// NewGuard protects a handler that is served at a loopback address.
func NewGuard(next http.Handler, at net.Addr, key string) *Guard {
	g := &Guard{next: next, key: key}
	_, port, _ := net.SplitHostPort(at.String())
	g.hosts = []string{at.String(), net.JoinHostPort("localhost", port), net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
	if port == "80" { // browsers leave out the port of the scheme
		for _, host := range slices.Clone(g.hosts) {
			g.hosts = append(g.hosts, strings.TrimSuffix(host, ":80"))
		}
	}
	g.cookie = "berth-" + port // cookies do not distinguish ports
	return g
}

// Address returns the address that the viewer opens. Whoever has it has the viewer's rights.
func (g *Guard) Address() string { return "http://" + g.hosts[0] + "/?key=" + g.key }

// Ticket returns an address that works once, for the file that the browser is started with.
func (g *Guard) Ticket() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ticket = rand.Text()
	return "http://" + g.hosts[0] + "/?key=" + g.ticket
}

// FormToken returns the token of forms that belongs to a key.
func FormToken(key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("form"))
	return hex.EncodeToString(mac.Sum(nil))
}

// ServeHTTP passes on the requests of the viewer, and refuses all others.
func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	switch {
	case !slices.Contains(g.hosts, r.Host):
		// A page of another host whose name leads here, to read the answer as its own.
		http.Error(w, "this server does not serve "+r.Host, http.StatusMisdirectedRequest)
	case r.Method == http.MethodGet && r.URL.Query().Has("key"):
		g.enter(w, r)
	case !g.knows(r):
		http.Error(w, "Open the address that berth ui printed; it has the key to this page.", http.StatusUnauthorized)
	case isForeign(r, "http://"+r.Host, FormToken(g.key)):
		http.Error(w, "this request comes from another page", http.StatusForbidden)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// protect sets the headers that restrict what a browser does with an answer.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // without a referrer, browsers do not name the origin of a form
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// enter exchanges the key in an address for a cookie, so that the key is not in later addresses.
func (g *Guard) enter(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	key := query.Get("key")
	isTicket := g.redeem(key)
	if !isTicket && !equal(key, g.key) {
		http.Error(w, "This address has expired; open the one that berth ui printed last.", http.StatusForbidden)
		return
	}
	query.Del("key")
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	to := *r.URL
	to.Scheme, to.Host, to.RawQuery = "", "", query.Encode()
	path := "/" + trimSlashes(to.RequestURI())
	if !isTicket {
		http.Redirect(w, r, path, http.StatusSeeOther)
		return
	}
	// A file led here. After a redirect, browsers would not send the cookie, since another site began the navigation.
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, "<!doctype html><title>Berth</title><meta http-equiv=\"refresh\" content=\"0; url=%s\">", html.EscapeString(path))
}

// trimSlashes removes leading slashes, since a browser reads "//host/" as another host.
func trimSlashes(path string) string {
	for len(path) > 0 && (path[0] == '/' || path[0] == '\\') {
		path = path[1:]
	}
	return path
}

func (g *Guard) redeem(ticket string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ok := g.ticket != "" && equal(ticket, g.ticket)
	if ok {
		g.ticket = ""
	}
	return ok
}

func (g *Guard) knows(r *http.Request) bool {
	cookie, err := r.Cookie(g.cookie)
	return err == nil && equal(cookie.Value, g.key)
}

// isForeign reports whether another page caused a request. A form of ours has the token, and a browser names our own
// origin.
func isForeign(r *http.Request, own, token string) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return site != "" && site != "same-origin" && site != "none" && r.Header.Get("Sec-Fetch-Mode") != "navigate"
	}
	if origin := r.Header.Get("Origin"); origin != own || site != "" && site != "same-origin" {
		return true
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	return !equal(r.PostFormValue("token"), token)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
