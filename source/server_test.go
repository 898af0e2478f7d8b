package source

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/gittest"
)

// origin is a real repository that a real git serves over HTTP.
type origin struct {
	*gittest.Repository
	server *gittest.Server
	t      testing.TB
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	server := gittest.NewServer(t)
	return &origin{t: t, server: server, Repository: server.Repository("acme/posts")}
}

// commit writes files on top of main.
func (o *origin) commit(files map[string]string) string {
	o.t.Helper()
	return o.Commit("main", files, "change")
}

// change commits arbitrary changes on top of main.
func (o *origin) change(changes ...gittest.Change) string {
	o.t.Helper()
	return o.Change("main", "change", changes...)
}

// refs makes n refs at main.
func (o *origin) refs(n int, format string) {
	o.t.Helper()
	refs, head := map[string]string{}, o.Head("main")
	for i := range n {
		refs[fmt.Sprintf(format, i)] = head
	}
	o.Refs(refs)
}

// git runs git in the bare repository and returns what it prints.
func (o *origin) git(args ...string) string {
	o.t.Helper()
	return gitWith(o.t, o.Dir(), "", args...)
}

func gitWith(t testing.TB, dir, input string, args ...string) string {
	t.Helper()
	command := exec.Command("git", args...)
	command.Dir, command.Stdin = dir, strings.NewReader(input)
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.com")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// open opens a Repository that follows the origin, with a store of its own.
func (o *origin) open(change ...func(*Config)) *Repository {
	o.t.Helper()
	config := Config{Dir: o.t.TempDir(), URL: o.URL()}
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

// soon returns a context that bounds the waits of a test.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// versions runs a test with servers that speak version 2 of the protocol and servers that do not.
func versions(t *testing.T, test func(*testing.T, *origin)) {
	t.Run("version 2", func(t *testing.T) { test(t, newOrigin(t)) })
	t.Run("version 0", func(t *testing.T) {
		o := newOrigin(t)
		o.server.IgnoreProtocolV2()
		test(t, o)
	})
}

// wantRequests checks the requests to the server since the last call.
func (o *origin) wantRequests(want ...gittest.Kind) {
	o.t.Helper()
	var got []gittest.Kind
	for _, request := range o.server.Requests() {
		got = append(got, request.Kind)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		o.t.Fatalf("requests %q, want %q", got, want)
	}
	o.server.Forget()
}

// says answers every greeting with one packet.
func says(text string) gittest.Fault {
	return func(e *gittest.Exchange) {
		e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		fmt.Fprintf(e.Writer, "%04x%s", len(text)+4, text)
	}
}

// page answers as a web site does.
func page(e *gittest.Exchange) {
	e.Writer.Header().Set("Content-Type", "text/html")
	fmt.Fprint(e.Writer, "<html>please sign in")
}

// notes passes every request on and remembers whether it carried credentials.
func notes(carried *[]bool) gittest.Fault {
	return func(e *gittest.Exchange) {
		*carried = append(*carried, e.HTTP.Header.Get("Authorization") != "")
		e.Answer()
	}
}

// moved redirects the paths below /old to another base.
func moved(base string) gittest.Fault {
	return func(e *gittest.Exchange) {
		_, rest, found := strings.Cut(e.HTTP.URL.Path, "/old")
		if !found {
			e.Answer()
			return
		}
		http.Redirect(e.Writer, e.HTTP, base+rest+"?"+e.HTTP.URL.RawQuery, http.StatusMovedPermanently)
	}
}

func snapshot(t testing.TB, r *Repository, commit string) *Snapshot {
	t.Helper()
	s, err := r.Snapshot(soon(t), commit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantFile checks one file of a snapshot.
func wantFile(t testing.TB, s *Snapshot, name, want string) {
	t.Helper()
	got, err := s.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

func wantReason(t testing.TB, err error, want Reason, texts ...string) {
	t.Helper()
	if ReasonOf(err) != want {
		t.Fatalf("got %v (reason %q), want reason %q", err, ReasonOf(err), want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve starts an HTTP server on this machine and returns its address.
func serve(t testing.TB, server *http.Server) *url.URL {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}
