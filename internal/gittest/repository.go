package gittest

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// A Repository is a bare repository of a server. Its methods write to it directly. That is much faster than a push,
// and just as visible to clients.
type Repository struct {
	server *Server
	name   string
	dir    string
}

// URL returns the address for clients.
func (r *Repository) URL() string { return fmt.Sprintf("%s/%s.git", r.server.URL(), r.name) }

// Dir returns the directory of the bare repository.
func (r *Repository) Dir() string { return r.dir }

// Commit writes some files on top of a branch, and returns the id of the commit. It creates the branch if it does
// not exist.
func (r *Repository) Commit(branch string, files map[string]string, message string) string {
	r.server.reporter.Helper()
	return r.Change(branch, message, writes(files)...)
}

// CommitFrom moves a branch, new or existing, to a new commit on top of a base. The base is a branch, a commit, or
// "" for a commit without a parent. The result is a new branch, or a forced push.
func (r *Repository) CommitFrom(base, branch string, files map[string]string, message string) string {
	r.server.reporter.Helper()
	return r.ChangeFrom(base, branch, message, writes(files)...)
}

// ChangeFrom is CommitFrom with any changes.
func (r *Repository) ChangeFrom(base, branch, message string, changes ...Change) string {
	r.server.reporter.Helper()
	return r.write(commit{branch: branch, parent: r.resolve(base), message: message, changes: changes})
}

// CommitFS creates a commit on top of a branch with exactly the content of a file system: os.DirFS for a directory,
// fstest.MapFS for a literal.
func (r *Repository) CommitFS(branch string, files fs.FS, message string) string {
	r.server.reporter.Helper()
	changes, err := writesOf(files)
	if err != nil {
		r.server.reporter.Fatalf("cannot commit to %q: %v", branch, err)
	}
	return r.write(commit{branch: branch, parent: r.find(branch), message: message, changes: changes, replaces: true})
}

// Change commits changes on top of a branch. It creates the branch if it does not exist.
func (r *Repository) Change(branch, message string, changes ...Change) string {
	r.server.reporter.Helper()
	return r.write(commit{branch: branch, parent: r.find(branch), message: message, changes: changes})
}

// Head returns the commit of a branch.
func (r *Repository) Head(branch string) string {
	r.server.reporter.Helper()
	return r.resolve("refs/heads/" + branch)
}

// Branch makes a branch, new or existing, point to a branch or commit.
func (r *Repository) Branch(branch, target string) {
	r.server.reporter.Helper()
	r.Refs(map[string]string{"refs/heads/" + branch: r.resolve(target)})
}

// Delete deletes branches, all at once.
func (r *Repository) Delete(branches ...string) {
	r.server.reporter.Helper()
	var input strings.Builder
	for _, branch := range branches {
		fmt.Fprintf(&input, "delete refs/heads/%s %s\n", branch, r.Head(branch))
	}
	r.git(input.String(), "update-ref", "--stdin")
}

// Rename renames a branch. If it is the default branch, it stays the default branch.
func (r *Repository) Rename(branch, name string) {
	r.server.reporter.Helper()
	r.git("", "branch", "-m", branch, name)
}

// Refs makes references, new or existing, point to commits, all at once. Their names are complete:
// refs/merge-requests/7/head.
func (r *Repository) Refs(commits map[string]string) {
	r.server.reporter.Helper()
	var input strings.Builder
	for _, name := range slices.Sorted(maps.Keys(commits)) {
		fmt.Fprintf(&input, "update %s %s\n", name, commits[name])
	}
	r.git(input.String(), "update-ref", "--stdin")
}

// SetDefault makes a branch the default one.
func (r *Repository) SetDefault(branch string) {
	r.server.reporter.Helper()
	r.git("", "symbolic-ref", "HEAD", "refs/heads/"+branch)
}

// Configure sets a value of the repository's configuration.
func (r *Repository) Configure(name, value string) {
	r.server.reporter.Helper()
	r.git("", "config", name, value)
}

// Hash returns the Git hash of a path in a branch or commit.
func (r *Repository) Hash(revision, name string) string {
	r.server.reporter.Helper()
	return r.git("", "rev-parse", "--verify", revision+":"+path.Clean(name))
}

// find returns the commit of a branch, or "" if there is no such branch.
func (r *Repository) find(branch string) string {
	r.server.reporter.Helper()
	return r.git("", "for-each-ref", "--format=%(objectname)", "refs/heads/"+branch)
}

func (r *Repository) resolve(revision string) string {
	r.server.reporter.Helper()
	if revision == "" {
		return ""
	}
	return r.git("", "rev-parse", "--verify", revision+"^{commit}")
}

// git runs a Git command in the repository and returns its output.
func (r *Repository) git(input string, arguments ...string) string {
	r.server.reporter.Helper()
	command := exec.Command(r.server.git, arguments...)
	if arguments[0] != "init" {
		command.Dir = r.dir
	}
	command.Env = isolated()
	command.Stdin = strings.NewReader(input)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		r.server.reporter.Fatalf("cannot run git %s in %q: %v: %s", strings.Join(arguments, " "), r.name, err, &complaints)
	}
	return strings.TrimSpace(string(output))
}
