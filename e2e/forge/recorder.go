package forge

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
)

// A Recorder forwards deliveries from Gitea to the agent, and keeps them as sent.
type Recorder struct {
	server *httptest.Server

	mu         sync.Mutex
	deliveries []Delivery
}

// A Delivery is a delivery that Gitea sent.
type Delivery struct {
	// Request is what came over the wire: request line, headers and body.
	Request []byte
	// Path, Query, Event and ContentType belong to the request, Status to the answer.
	Path, Query, Event, ContentType string
	Status                          int
}

// Record starts a recorder that forwards deliveries to an address.
func Record(address string) *Recorder {
	r := &Recorder{}
	next := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		d := Delivery{Path: request.URL.Path, Query: request.URL.RawQuery, Event: request.Header.Get("X-Gitea-Event"), ContentType: request.Header.Get("Content-Type")}
		var err error
		if d.Request, err = httputil.DumpRequest(request, true); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, request)
		d.Status = answer.Code
		r.mu.Lock()
		r.deliveries = append(r.deliveries, d)
		r.mu.Unlock()
		w.WriteHeader(answer.Code)
		_, _ = w.Write(bytes.Clone(answer.Body.Bytes()))
	}))
	return r
}

// Close ends the recorder.
func (r *Recorder) Close() { r.server.Close() }

// URL returns the address at which Gitea delivers to a path of the agent.
func (r *Recorder) URL(path string) string { return r.server.URL + path }

// Deliveries returns the deliveries to a path of the agent.
func (r *Recorder) Deliveries(path string) []Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.deliveries), func(d Delivery) bool { return d.Path != path })
}
