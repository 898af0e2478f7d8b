package gittest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Kind is the purpose of a client's request.
type Kind string

// The kinds. A client that lists and fetches with protocol version 2 sends Discovery, ListRefs and Fetch. With
// version 1 the answer to Discovery is the list, so the client sends only Discovery and Fetch.
const (
	Discovery Kind = "info/refs"
	ListRefs  Kind = "ls-refs"
	Fetch     Kind = "fetch"
	// PushDiscovery and Push are the two requests of a push.
	PushDiscovery Kind = "info/refs for a push"
	Push          Kind = "push"
	Other         Kind = "other"
)

// A Request is a request that the server has answered or refused.
type Request struct {
	Kind       Kind
	Repository string
	// Protocol is 2, or 0 for all earlier versions.
	Protocol int
	// User is the user name of basic credentials, right or wrong.
	User      string
	UserAgent string
	Status    int
	// Received and Sent are the bytes of the bodies as they crossed the wire.
	Received, Sent int64
	Time           time.Time
}

func newRequest(r *http.Request, body []byte) Request {
	repository, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	user, _, _ := r.BasicAuth()
	request := Request{
		Kind:       kindOf(r, body),
		Repository: repository,
		User:       user,
		UserAgent:  r.UserAgent(),
		Received:   int64(len(body)),
		Time:       time.Now(),
	}
	if strings.Contains(r.Header.Get("Git-Protocol"), "version=2") {
		request.Protocol = 2
	}
	return request
}

func kindOf(r *http.Request, body []byte) Kind {
	switch {
	case strings.HasSuffix(r.URL.Path, "/info/refs") && r.URL.Query().Get("service") == "git-receive-pack":
		return PushDiscovery
	case strings.HasSuffix(r.URL.Path, "/info/refs"):
		return Discovery
	case strings.HasSuffix(r.URL.Path, "/git-receive-pack"):
		return Push
	case strings.HasSuffix(r.URL.Path, "/git-upload-pack") && bytes.Contains(plain(r, body), []byte("command=ls-refs")):
		return ListRefs
	case strings.HasSuffix(r.URL.Path, "/git-upload-pack"):
		return Fetch
	default:
		return Other
	}
}

// plain decompresses a body, as far as possible.
func plain(r *http.Request, body []byte) []byte {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return body
	}
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(reader)
	return text
}

// Requests returns the completed requests, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count returns how many requests of some kinds are completed. Without kinds it counts all.
func (s *Server) Count(kinds ...Kind) int {
	count := 0
	for _, request := range s.Requests() {
		if len(kinds) == 0 || slices.Contains(kinds, request.Kind) {
			count++
		}
	}
	return count
}

// Sent returns the bytes of all answers.
func (s *Server) Sent() int64 {
	var sent int64
	for _, request := range s.Requests() {
		sent += request.Sent
	}
	return sent
}

// Forget resets the count.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// A countingWriter records the status and the size of an answer.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(text []byte) (int, error) {
	n, err := w.ResponseWriter.Write(text)
	w.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController access to the connection.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
