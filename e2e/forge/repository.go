package forge

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A Reporter receives failures. testing.TB is one.
type Reporter interface {
	Helper()
	Context() context.Context
	Fatalf(format string, arguments ...any)
	TempDir() string
}

// A Repository is a private repository of Gitea, with a user's clone to push from.
type Repository struct {
	Name        string
	gitea       *Gitea
	clone, main string // the folder, and the default branch
	t           Reporter
}

// Repository creates an empty repository whose default branch is main.
func (g *Gitea) Repository(t Reporter, name string) *Repository {
	t.Helper()
	r := &Repository{Name: name, gitea: g, clone: filepath.Join(t.TempDir(), name), main: "main", t: t}
	r.asks(http.MethodPost, "/user/repos", map[string]any{"name": name, "private": true, "default_branch": "main"})
	if err := os.MkdirAll(r.clone, 0o700); err != nil {
		t.Fatalf("%v", err)
	}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

// URL returns the address for clients.
func (r *Repository) URL() string { return r.gitea.URL + "/" + owner + "/" + r.Name + ".git" }

// Push commits files to a branch, pushes it, and returns the commit. A new branch begins at the default branch. An empty file is
// removed.
func (r *Repository) Push(branch string, files map[string]string) string {
	r.t.Helper()
	return r.PushSaying(branch, "a push to "+branch, files)
}

// PushSaying is Push with the message of the commit.
func (r *Repository) PushSaying(branch, message string, files map[string]string) string {
	r.t.Helper()
	r.commit(branch, message, files)
	return r.push(r.URL(), owner, branch)
}

// commit commits files to a branch of the clone.
func (r *Repository) commit(branch, message string, files map[string]string) {
	r.t.Helper()
	if r.git("for-each-ref", "refs/heads/"+branch) != "" {
		r.git("checkout", "--quiet", branch)
	} else if r.git("for-each-ref", "refs/heads") != "" {
		r.git("checkout", "--quiet", "-b", branch, r.main)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(r.clone, name)
		if files[name] == "" {
			if err := os.Remove(path); err != nil {
				r.t.Fatalf("%v", err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			r.t.Fatalf("%v", err)
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o600); err != nil {
			r.t.Fatalf("%v", err)
		}
	}
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "--message", message)
}

// push pushes a branch to an address as a user, and returns the commit.
func (r *Repository) push(to, user, branch string) string {
	r.t.Helper()
	address, err := url.Parse(to)
	if err != nil {
		r.t.Fatalf("%v", err)
	}
	address.User = url.UserPassword(user, password)
	r.git("push", "--quiet", address.String(), branch)
	return r.git("rev-parse", "HEAD")
}

// DeleteBranch deletes a branch on the server, as the button in the web page does.
func (r *Repository) DeleteBranch(branch string) {
	r.t.Helper()
	r.asks(http.MethodDelete, r.path("/branches/"+url.PathEscape(branch)), nil)
}

// RenameBranch renames a branch on the server. A default branch stays the default one.
func (r *Repository) RenameBranch(from, to string) {
	r.t.Helper()
	r.asks(http.MethodPatch, r.path("/branches/"+url.PathEscape(from)), map[string]any{"name": to})
	r.git("branch", "--move", from, to)
	if r.main == from {
		r.main = to
	}
}

// Rename renames the repository on the server, which redirects from the old address.
func (r *Repository) Rename(name string) {
	r.t.Helper()
	r.asks(http.MethodPatch, r.path(""), map[string]any{"name": name})
	r.Name = name
}

// Publish lets everybody read the repository.
func (r *Repository) Publish() {
	r.t.Helper()
	r.asks(http.MethodPatch, r.path(""), map[string]any{"private": false})
}

// Page returns the address at which people read a merge request.
func (r *Repository) Page(number int64) string {
	return fmt.Sprintf("%s/%s/%s/pulls/%d", r.gitea.URL, owner, r.Name, number)
}

// A Hook is a webhook of a repository.
type Hook struct {
	// URL is where deliveries go, ContentType is "json" or "form", and Secret signs them.
	URL, ContentType, Secret string
}

// Hook adds a webhook for pushes, for the creation and deletion of branches, and for merge requests.
func (r *Repository) Hook(h Hook) {
	r.t.Helper()
	r.asks(http.MethodPost, r.path("/hooks"), map[string]any{
		"type": "gitea", "active": true, "events": []string{"push", "create", "delete", "pull_request"},
		"config": map[string]string{"url": h.URL, "content_type": h.ContentType, "secret": h.Secret},
	})
}

func (r *Repository) path(below string) string { return "/repos/" + owner + "/" + r.Name + below }

func (r *Repository) asks(method, path string, body any) {
	r.t.Helper()
	if err := r.gitea.call(r.t.Context(), method, path, body, nil); err != nil {
		r.t.Fatalf("%v", err)
	}
}

// git runs git in the clone, without the user's configuration, and returns its output.
func (r *Repository) git(arguments ...string) string {
	r.t.Helper()
	command := exec.CommandContext(r.t.Context(), "git", append([]string{"-c", "user.name=" + owner, "-c", "user.email=ada@example.com"}, arguments...)...)
	command.Dir = r.clone
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0")
	output, err := command.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", arguments[0], err, output)
	}
	return strings.TrimSpace(string(output))
}
