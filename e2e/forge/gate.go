package forge

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
)

// A Gate forwards requests to Gitea's API, counts them, and can answer in its place.
type Gate struct {
	server *httptest.Server

	mu       sync.Mutex
	requests []string // method and path
	fault    int      // the status to answer with; 0: none
	after    int      // seconds, for Retry-After; 0: none
}

// Gate starts a gate to a Gitea.
func (g *Gitea) Gate() *Gate {
	gate := &Gate{}
	to, err := url.Parse(g.URL)
	if err != nil {
		panic(err)
	}
	next := httputil.NewSingleHostReverseProxy(to)
	gate.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		gate.mu.Lock()
		gate.requests = append(gate.requests, request.Method+" "+request.URL.Path)
		fault, after := gate.fault, gate.after
		gate.mu.Unlock()
		switch {
		case fault == 0:
			next.ServeHTTP(w, request)
		case after > 0:
			w.Header().Set("Retry-After", strconv.Itoa(after))
			fallthrough
		default:
			http.Error(w, `{"message": "a fault of the test"}`, fault)
		}
	}))
	return gate
}

// URL returns the gate's address.
func (g *Gate) URL() string { return g.server.URL }

// Close ends the gate: connections are refused.
func (g *Gate) Close() { g.server.Close() }

// Fail lets the gate answer with a status, and after some seconds in Retry-After; 0 ends the fault.
func (g *Gate) Fail(status, after int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault, g.after = status, after
}

// Requests returns the requests so far.
func (g *Gate) Requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.requests...)
}
