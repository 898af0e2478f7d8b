package source

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is a real repository that tests push to and that a real git serves over HTTP.
type origin struct {
	t      testing.TB
	dir    string // the work tree; dir/.git is what is served
	server *httptest.Server

	mu       sync.Mutex
	requests []string // method and the last element of the path
	seen     []*http.Request
	sent     int
	before   func(http.ResponseWriter, *http.Request) bool // answers in git's place if it returns true
	cutAfter int                                           // bytes after which an answer breaks off, 0 for never
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{t: t, dir: t.TempDir()}
	o.git("init", "--quiet", "--initial-branch=main")
	o.server = httptest.NewServer(o)
	t.Cleanup(o.server.Close)
	return o
}

func (o *origin) url() string { return o.server.URL + "/.git" }

// ServeHTTP counts, and lets git answer.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests = append(o.requests, r.Method+" "+filepath.Base(r.URL.Path))
	o.seen = append(o.seen, r)
	before, cut := o.before, o.cutAfter
	o.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	handler := cgi.Handler{
		Path:   gitPath(o.t),
		Args:   []string{"http-backend"},
		Env:    append(hermetic(), "GIT_PROJECT_ROOT="+o.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_PROTOCOL="+r.Header.Get("Git-Protocol")),
		Stderr: os.Stderr,
	}
	handler.ServeHTTP(&countingWriter{ResponseWriter: w, origin: o, cut: cut}, r)
}

type countingWriter struct {
	http.ResponseWriter
	origin *origin
	cut    int
	sent   int
}

func (w *countingWriter) Write(data []byte) (int, error) {
	if w.cut > 0 && w.sent+len(data) > w.cut {
		data = data[:max(0, w.cut-w.sent)]
		_, _ = w.ResponseWriter.Write(data)
		panic(http.ErrAbortHandler)
	}
	n, err := w.ResponseWriter.Write(data)
	w.sent += n
	w.origin.mu.Lock()
	w.origin.sent += n
	w.origin.mu.Unlock()
	return n, err
}

// takeRequests returns the requests since it was last called.
func (o *origin) takeRequests() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	requests := o.requests
	o.requests, o.sent, o.seen = nil, 0, nil
	return requests
}

func (o *origin) bytesSent() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

// answer makes every following request get this answer, until it is called with nil.
func (o *origin) answer(before func(http.ResponseWriter, *http.Request) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.before = before
}

func (o *origin) cut(after int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cutAfter = after
}

// onlyVersion0 makes the server as old as those that ignore the Git-Protocol header.
func (o *origin) onlyVersion0() {
	o.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Git-Protocol")
		return false
	})
}

// git runs git in the work tree and returns what it prints.
func (o *origin) git(args ...string) string {
	o.t.Helper()
	return gitIn(o.t, o.dir, args...)
}

func gitIn(t testing.TB, dir string, args ...string) string {
	t.Helper()
	command := exec.Command(gitPath(t), args...)
	command.Dir = dir
	command.Env = hermetic()
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// hermetic is an environment in which git behaves the same everywhere.
func hermetic() []string {
	return append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.com",
		"GIT_COMMITTER_DATE=2026-01-02T03:04:05+0100")
}

func gitPath(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// commit writes files on the current branch and returns the new commit.
func (o *origin) commit(files map[string]string) string {
	o.t.Helper()
	for name, content := range files {
		full := filepath.Join(o.dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			o.t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			o.t.Fatal(err)
		}
	}
	o.git("add", "--all")
	o.git("commit", "--quiet", "--allow-empty", "--message=change")
	return o.git("rev-parse", "HEAD")
}

// symlink makes a link in the work tree, to be committed.
func (o *origin) symlink(target, name string) {
	o.t.Helper()
	if err := os.Symlink(target, filepath.Join(o.dir, name)); err != nil {
		o.t.Fatal(err)
	}
}

// refs makes n refs in one go that are no branches.
func (o *origin) refs(n int, format string) {
	o.t.Helper()
	head := o.git("rev-parse", "HEAD")
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "create "+format+" %s\n", i, head)
	}
	command := exec.Command(gitPath(o.t), "update-ref", "--stdin")
	command.Dir, command.Env, command.Stdin = o.dir, hermetic(), strings.NewReader(lines.String())
	if out, err := command.CombinedOutput(); err != nil {
		o.t.Fatalf("%v\n%s", err, out)
	}
}

// open follows the origin, with a store of its own.
func (o *origin) open(change ...func(*Config)) *Repository {
	o.t.Helper()
	config := Config{Dir: o.t.TempDir(), URL: o.url()}
	for _, c := range change {
		c(&config)
	}
	return mustOpen(o.t, config)
}

func mustOpen(t testing.TB, config Config) *Repository {
	t.Helper()
	r, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// soon bounds what a test waits for.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
