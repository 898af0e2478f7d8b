package gittest

import (
	"fmt"
	"net/http"
	"strings"
)

// A Fault is a wrong way to answer requests.
type Fault func(*Exchange)

// An Exchange is one request and its answer.
type Exchange struct {
	Writer  http.ResponseWriter
	HTTP    *http.Request
	Request Request
	server  *Server
}

// Answer answers correctly.
func (e *Exchange) Answer() { e.server.backend(e.Writer, e.HTTP) }

// Misbehave answers every request with a fault until Behave is called.
func (s *Server) Misbehave(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Behave answers every request correctly again.
func (s *Server) Behave() { s.Misbehave((*Exchange).Answer) }

// Only limits a fault to one kind of request.
func Only(kind Kind, fault Fault) Fault {
	return func(e *Exchange) {
		if e.Request.Kind == kind {
			fault(e)
			return
		}
		e.Answer()
	}
}

// Status answers with a status code and no content.
func Status(code int) Fault {
	return func(e *Exchange) { http.Error(e.Writer, http.StatusText(code), code) }
}

// Hang sends no answer until the client has given up or the server closes.
func Hang(e *Exchange) {
	select {
	case <-e.HTTP.Context().Done():
	case <-e.server.closing:
	}
	panic(http.ErrAbortHandler)
}

// CutOff closes the connection after so many bytes of the answer.
func CutOff(after int64) Fault {
	return func(e *Exchange) {
		e.Writer = &cuttingWriter{ResponseWriter: e.Writer, left: after}
		e.Answer()
		panic(http.ErrAbortHandler)
	}
}

// EmptyListing answers as if the repository had no branches. The answer is well-formed and complete, but wrong.
func EmptyListing(e *Exchange) {
	_, rest, found := strings.Cut(e.HTTP.URL.Path, ".git/")
	if !found {
		Status(http.StatusNotFound)(e)
		return
	}
	e.HTTP.URL.Path = "/" + e.server.empty().name + ".git/" + rest
	e.Answer()
}

// EndlessListing lists branches without end, until the client stops reading.
func EndlessListing(e *Exchange) {
	e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	for i := 0; ; i++ {
		line := fmt.Sprintf("%040x refs/heads/endless-%d\n", i+1, i)
		if _, err := fmt.Fprintf(e.Writer, "%04x%s", len(line)+4, line); err != nil {
			return
		}
	}
}

// Redirect redirects the client to the same path at another address, as after a move of the repository.
func Redirect(address string) Fault {
	return func(e *Exchange) {
		http.Redirect(e.Writer, e.HTTP, address+e.HTTP.URL.RequestURI(), http.StatusFound)
	}
}

// A cuttingWriter writes a limited number of bytes.
type cuttingWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cuttingWriter) Write(text []byte) (int, error) {
	through := min(w.left, int64(len(text)))
	w.left -= through
	if _, err := w.ResponseWriter.Write(text[:through]); err != nil {
		return 0, err
	}
	if through < int64(len(text)) {
		// The client must receive the written part before the connection closes.
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return len(text), nil
}
