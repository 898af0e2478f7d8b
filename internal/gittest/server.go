// Package gittest is a Git server over smart HTTP for tests, scenarios and the demo. It runs Git's own server on
// the loopback address. The package creates repositories, counts the requests of clients, and can simulate faults.
package gittest

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// A Reporter receives errors. testing.TB is one; a program has its own, whose Fatalf must not return.
type Reporter interface {
	Helper()
	Fatalf(format string, arguments ...any)
}

// Config configures a server.
type Config struct {
	// Dir holds one bare repository per name. Existing ones are served as they are.
	Dir string
	// Address is the address to listen at; empty means a free port of 127.0.0.1.
	Address string
}

// A Server serves the repositories of one directory. It is safe for concurrent use.
type Server struct {
	reporter Reporter
	dir      string
	git      string
	listener net.Listener
	http     http.Server
	closing  chan struct{}
	close    func()
	// empty returns the repository from which EmptyListing answers.
	empty func() *Repository

	mu       sync.Mutex
	allow    func(*http.Request) bool
	fault    Fault
	noV2     bool
	requests []Request
}

// NewServer starts a server with its own temporary directory. It ends with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	server := Serve(t, Config{Dir: t.TempDir()})
	t.Cleanup(server.Close)
	return server
}

// Serve starts a server. The reporter receives all errors, now and later.
func Serve(reporter Reporter, config Config) *Server {
	reporter.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		reporter.Fatalf("cannot serve Git: %v", err)
	}
	address := config.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		reporter.Fatalf("cannot serve Git: %v", err)
	}
	s := &Server{reporter: reporter, dir: config.Dir, git: git, listener: listener, closing: make(chan struct{})}
	s.close = sync.OnceFunc(func() {
		close(s.closing)
		_ = s.http.Close()
	})
	s.empty = sync.OnceValue(func() *Repository { return s.Repository("gittest-empty") })
	s.AllowAnyone()
	s.Behave()
	s.http.Handler = http.HandlerFunc(s.serve)
	go func() { _ = s.http.Serve(listener) }()
	return s
}

// URL returns the address of the server, without a slash at its end.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close ends the server and every hanging request. Another server with the same Config continues where this one
// stopped.
func (s *Server) Close() { s.close() }

// AllowAnyone serves all clients, which is the default.
func (s *Server) AllowAnyone() {
	s.setAllow(func(*http.Request) bool { return true })
}

// RequireBasic serves only clients with this user name and password.
func (s *Server) RequireBasic(user, password string) {
	s.setAllow(func(r *http.Request) bool {
		u, p, ok := r.BasicAuth()
		return ok && equal(u, user) && equal(p, password)
	})
}

// RequireBearer serves only clients with this bearer token.
func (s *Server) RequireBearer(token string) {
	s.setAllow(func(r *http.Request) bool {
		return equal(r.Header.Get("Authorization"), "Bearer "+token)
	})
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *Server) setAllow(allow func(*http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allow = allow
}

// IgnoreProtocolV2 answers every client with protocol version 1, as servers before Git 2.18 do. Only with that
// version does a repository's configuration decide which commits may be fetched by id.
func (s *Server) IgnoreProtocolV2() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noV2 = true
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	allow, fault, noV2 := s.allow, s.fault, s.noV2
	s.mu.Unlock()
	if noV2 {
		r.Header.Del("Git-Protocol")
	}
	body, err := buffer(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request := newRequest(r, body)
	counted := &countingWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		request.Status, request.Sent = counted.status, counted.bytes
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, request)
	}()
	exchange := Exchange{Writer: counted, HTTP: r, Request: request, server: s}
	if !allow(r) {
		counted.Header().Set("WWW-Authenticate", `Basic realm="gittest"`)
		http.Error(counted, "HTTP Basic: Access denied", http.StatusUnauthorized)
		return
	}
	fault(&exchange)
}

// buffer reads a request's whole body, because CGI needs its length.
func buffer(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.TransferEncoding = nil
	return body, nil
}

// backend passes a request to Git.
func (s *Server) backend(w http.ResponseWriter, r *http.Request) {
	handler := cgi.Handler{
		Path: s.git,
		Args: []string{"http-backend"},
		Env: append(isolated(),
			"GIT_PROJECT_ROOT="+s.dir,
			"GIT_HTTP_EXPORT_ALL=1",
		),
		Stderr: io.Discard,
	}
	handler.ServeHTTP(w, r)
}

// isolated returns an environment in which Git ignores the configuration of the user and the machine.
func isolated() []string {
	return []string{
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0",
		"PATH=" + os.Getenv("PATH"),
	}
}

// Repository returns the bare repository of a name such as "posts" or "acme/posts", and creates it if it does not
// exist. Its default branch is main.
func (s *Server) Repository(name string) *Repository {
	s.reporter.Helper()
	dir := filepath.Join(s.dir, filepath.FromSlash(name)+".git")
	repository := &Repository{server: s, name: name, dir: dir}
	if _, err := os.Stat(dir); err == nil {
		return repository
	}
	repository.git("", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", dir)
	config, err := os.OpenFile(filepath.Join(dir, "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = config.WriteString(settings)
		err = errors.Join(err, config.Close())
	}
	if err != nil {
		s.reporter.Fatalf("cannot configure the repository %q: %v", name, err)
	}
	return repository
}

// settings allow clients to push and, as GitLab and GitHub do, to fetch a commit by its id. They also disable
// syncing to disk.
const settings = `
[http]
	receivepack = true
[uploadpack]
	allowReachableSHA1InWant = true
[receive]
	autogc = false
[gc]
	auto = 0
[core]
	fsync = none
`
