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
	requests []string      // method and path
	fault    int           // the status to answer with; 0: none
	after    int           // seconds, for Retry-After; 0: none
	stalled  chan struct{} // requests get no answer before it is closed; nil: they do
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
		fault, after, stalled := gate.fault, gate.after, gate.stalled
		gate.mu.Unlock()
		switch {
		case stalled != nil:
			<-stalled
			panic(http.ErrAbortHandler)
		case fault == Down:
			panic(http.ErrAbortHandler) // closes the connection without an answer
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
func (g *Gate) Close() {
	g.Resume()
	g.server.Close()
}

// Down is the fault of a forge that closes connections without an answer.
const Down = -1

// Stall lets the gate accept requests and never answer them, until Resume.
func (g *Gate) Stall() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stalled = make(chan struct{})
}

// Resume lets the gate answer again.
func (g *Gate) Resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stalled != nil {
		close(g.stalled)
	}
	g.stalled = nil
}

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
