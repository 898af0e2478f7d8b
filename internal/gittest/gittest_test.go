package gittest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// git runs Git as a user would, in a directory.
func git(t *testing.T, dir string, arguments ...string) string {
	t.Helper()
	output, err := tryGit(t.Context(), dir, arguments...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

func tryGit(ctx context.Context, dir string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", append([]string{"-c", "user.name=u", "-c", "user.email=u@example.com"}, arguments...)...)
	command.Dir = dir
	command.Env = isolated()
	// The HTTP helper of a killed git continues, and holds its output open.
	command.WaitDelay = 2 * time.Second
	output, err := command.CombinedOutput()
	return strings.TrimSpace(string(output)), err
}

func TestCloneAndPush(t *testing.T) {
	tests := []struct {
		name      string
		configure func(*Server)
		// arguments precede the verb of every command.
		arguments []string
		userInfo  string
		denied    bool
	}{
		{name: "anyone", configure: (*Server).AllowAnyone},
		{name: "basic", configure: func(s *Server) { s.RequireBasic("me", "secret") }, userInfo: "me:secret@"},
		{name: "basic, wrong", configure: func(s *Server) { s.RequireBasic("me", "secret") }, userInfo: "me:guess@", denied: true},
		{name: "basic, without", configure: func(s *Server) { s.RequireBasic("me", "secret") }, denied: true},
		{
			name:      "bearer",
			configure: func(s *Server) { s.RequireBearer("token") },
			arguments: []string{"-c", "http.extraHeader=Authorization: Bearer token"},
		},
		{name: "bearer, without", configure: func(s *Server) { s.RequireBearer("token") }, denied: true},
		{name: "the first protocol", configure: (*Server).IgnoreProtocolV2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := NewServer(t)
			repository := server.Repository("acme/posts")
			repository.Commit("main", map[string]string{"README.md": "hello\n"}, "begin")
			test.configure(server)

			clone := filepath.Join(t.TempDir(), "clone")
			url := strings.Replace(repository.URL(), "http://", "http://"+test.userInfo, 1)
			output, err := tryGit(t.Context(), "", append(test.arguments, "clone", url, clone)...)
			if test.denied {
				if err == nil {
					t.Error("the clone went through")
				}
				return
			}
			if err != nil {
				t.Fatalf("clone: %v\n%s", err, output)
			}
			// This is more than Git sends without chunks.
			large := strings.Repeat(fmt.Sprint(time.Now().UnixNano()), 200_000)
			if err := os.WriteFile(filepath.Join(clone, "large"), []byte(large), 0o600); err != nil {
				t.Fatal(err)
			}
			git(t, clone, "add", ".")
			git(t, clone, "commit", "-m", "more")
			git(t, clone, append(test.arguments, "-c", "http.postBuffer=1000", "-c", "core.compression=0", "push")...)
			if got, want := repository.Head("main"), git(t, clone, "rev-parse", "HEAD"); got != want {
				t.Errorf("after the push, main is %s, want %s", got, want)
			}
		})
	}
}

func TestRequestsAreCounted(t *testing.T) {
	tests := []struct {
		version int
		want    map[Kind]int
	}{
		{2, map[Kind]int{Discovery: 1, ListRefs: 1, Fetch: 1}},
		{0, map[Kind]int{Discovery: 1, ListRefs: 0, Fetch: 1}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint("version ", test.version), func(t *testing.T) {
			server := NewServer(t)
			repository := server.Repository("posts")
			repository.Commit("main", map[string]string{"README.md": "hello\n"}, "begin")
			version := fmt.Sprint("protocol.version=", test.version)
			git(t, "", "-c", version, "clone", "--bare", repository.URL(), t.TempDir())
			for kind, want := range test.want {
				if got := server.Count(kind); got != want {
					t.Errorf("%d requests of kind %q, want %d", got, kind, want)
				}
			}
			for _, request := range server.Requests() {
				if request.Protocol != test.version || request.Repository != "posts" || request.Status != http.StatusOK {
					t.Errorf("unexpected request %+v", request)
				}
			}
			if server.Sent() < 300 {
				t.Errorf("%d bytes sent", server.Sent())
			}
			server.Forget()
			if server.Count() != 0 {
				t.Error("the count did not start again")
			}
			git(t, "", "-c", version, "ls-remote", repository.URL())
			if got := server.Count(Fetch); got != 0 {
				t.Errorf("a listing caused %d fetches", got)
			}
		})
	}
}

func TestCommits(t *testing.T) {
	server := NewServer(t)
	r := server.Repository("posts")
	first := r.Commit("main", map[string]string{"a/b.txt": "b\n", "name with ü\"": "c\n"}, "begin")
	second := r.Change("main", "change", Remove("a"), Symlink("link", "name"), Submodule("sub", first))
	third := r.CommitFS("main", fstest.MapFS{
		"x/run.sh":    {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		"x/link":      {Data: []byte("run.sh"), Mode: os.ModeSymlink},
		".git/config": {Data: []byte("not me")},
	}, "replace")
	branched := r.CommitFrom("main", "feature/login", map[string]string{"y": "y\n"}, "branch")
	forced := r.CommitFrom(first, "main", map[string]string{"z": "z\n"}, "force")
	root := r.CommitFrom("", "lonely", map[string]string{"z": "z\n"}, "root")

	want := map[string]string{
		first:    "100644 a/b.txt\n100644 \"name with ü\\\"\"",
		second:   "120000 link\n100644 \"name with ü\\\"\"\n160000 sub",
		third:    "120000 x/link\n100755 x/run.sh",
		branched: "120000 x/link\n100755 x/run.sh\n100644 y",
		forced:   "100644 a/b.txt\n100644 \"name with ü\\\"\"\n100644 z",
		root:     "100644 z",
	}
	for commit, want := range want {
		got := git(t, r.Dir(), "-c", "core.quotePath=false", "ls-tree", "-rz", "--format=%(objectmode) %(path)", commit)
		if got := strings.ReplaceAll(strings.TrimSuffix(got, "\x00"), "\x00", "\n"); got != want {
			t.Errorf("commit %s holds\n%s\nwant\n%s", commit, got, want)
		}
	}
	parents := map[string]string{first: "", second: first, third: second, branched: third, forced: first, root: ""}
	for commit, want := range parents {
		if got := git(t, r.Dir(), "log", "-1", "--format=%P", commit); got != want {
			t.Errorf("the parent of %s is %q, want %q", commit, got, want)
		}
	}
	if got := git(t, r.Dir(), "show", first+":a/b.txt"); got != "b" {
		t.Errorf("content %q", got)
	}
	if got := r.Hash(third, "x"); got != git(t, r.Dir(), "rev-parse", third+":x") {
		t.Errorf("hash %q", got)
	}
}

func TestReferences(t *testing.T) {
	server := NewServer(t)
	r := server.Repository("posts")
	commit := r.Commit("main", map[string]string{"a": "a\n"}, "begin")
	r.Branch("one", "main")
	r.Branch("two", commit)
	r.Refs(map[string]string{"refs/merge-requests/1/head": commit})
	r.Delete("one")
	r.SetDefault("two")
	got := git(t, "", "ls-remote", "--symref", r.URL())
	want := strings.NewReplacer("C", commit).Replace("ref: refs/heads/two\tHEAD\nC\tHEAD\nC\trefs/heads/main\nC\trefs/heads/two\nC\trefs/merge-requests/1/head")
	if got != want {
		t.Errorf("the listing is\n%s\nwant\n%s", got, want)
	}
	if got := server.Repository("posts").Head("main"); got != commit {
		t.Errorf("the repository was not found again: main is %s", got)
	}
}

func TestFetchById(t *testing.T) {
	tests := []struct {
		allow string
		fails bool
	}{{"true", false}, {"false", true}}
	for _, test := range tests {
		t.Run(test.allow, func(t *testing.T) {
			server := NewServer(t)
			server.IgnoreProtocolV2()
			r := server.Repository("posts")
			old := r.Commit("main", map[string]string{"a": "1\n"}, "one")
			r.Commit("main", map[string]string{"a": "2\n"}, "two")
			r.Configure("uploadpack.allowReachableSHA1InWant", test.allow)
			dir := t.TempDir()
			git(t, dir, "init", "--quiet")
			if output, err := tryGit(t.Context(), dir, "fetch", "--depth=1", r.URL(), old); (err != nil) != test.fails {
				t.Errorf("fetch of an old commit: %v\n%s", err, output)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name  string
		fault Fault
		// want is part of Git's output; empty if it succeeds and finds nothing.
		want string
	}{
		{"unauthorized", Status(http.StatusUnauthorized), "terminal prompts disabled"},
		{"not found", Status(http.StatusNotFound), "not found"},
		{"broken", Status(http.StatusInternalServerError), "500"},
		{"cut off", CutOff(20), "fatal"},
		{"cut off in the list", Only(ListRefs, CutOff(20)), "fatal"},
		{"hanging", Hang, "killed"},
		{"empty", EmptyListing, ""},
		{"redirected to nowhere", Redirect("http://127.0.0.1:1"), "port 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := NewServer(t)
			r := server.Repository("posts")
			commit := r.Commit("main", map[string]string{"a": "a\n"}, "begin")
			server.Misbehave(test.fault)
			patience := time.Minute
			if test.name == "hanging" {
				patience = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			output, err := tryGit(ctx, "", "ls-remote", r.URL())
			if err != nil {
				output += err.Error()
			}
			if (err == nil) != (test.want == "") || !strings.Contains(output, test.want) {
				t.Errorf("git ls-remote: %v\n%s\nwant %q", err, output, test.want)
			}
			server.Behave()
			if got := git(t, "", "ls-remote", r.URL(), "refs/heads/main"); !strings.HasPrefix(got, commit) {
				t.Errorf("after the fault, the listing is %q", got)
			}
		})
	}
}

func TestManyBranchesAreQuick(t *testing.T) {
	r := NewServer(t).Repository("posts")
	r.Commit("main", map[string]string{"a": "a\n"}, "begin")
	began := time.Now()
	for i := range 60 {
		r.CommitFrom("main", fmt.Sprint("feature/", i), map[string]string{"b": fmt.Sprint(i)}, "branch")
	}
	t.Logf("60 branches in %.1f s", time.Since(began).Seconds())
	if got := strings.Count(git(t, "", "ls-remote", "--heads", r.URL()), "\n") + 1; got != 61 {
		t.Errorf("%d branches, want 61", got)
	}
}
