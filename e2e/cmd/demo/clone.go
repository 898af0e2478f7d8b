package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"berth.dev/berth/e2e/world"
)

// A clone is a developer's clone of the repository. It works through the git command.
type clone struct {
	dir string
	t   world.Reporter
}

// newClone starts with the files of a directory, on the branch main.
func newClone(t world.Reporter, dir, url, files string) *clone {
	c := &clone{dir: dir, t: t}
	if err := os.CopyFS(dir, os.DirFS(files)); err != nil {
		t.Fatalf("cannot copy the example: %v", err)
	}
	c.git("init", "--quiet", "--initial-branch=main")
	c.git("remote", "add", "origin", url)
	return c
}

// write replaces a text in a file, which must contain it.
func (c *clone) write(name, old, text string) {
	file := filepath.Join(c.dir, name)
	content, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatalf("%v", err)
	}
	changed := strings.ReplaceAll(string(content), old, text)
	if changed == string(content) {
		c.t.Fatalf("cannot change %s: it has no %q", name, old)
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		c.t.Fatalf("%v", err)
	}
}

// copy copies a file over another.
func (c *clone) copy(from, to string) {
	content, err := os.ReadFile(filepath.Join(c.dir, from))
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, to), content, 0o644)
	}
	if err != nil {
		c.t.Fatalf("cannot copy %s: %v", from, err)
	}
}

// push commits everything and pushes it, and returns the commit.
func (c *clone) push(branch, message string) string {
	c.git("add", "--all")
	c.git("commit", "--quiet", "--message", message)
	c.git("push", "--quiet", "origin", branch)
	return c.git("rev-parse", "HEAD")
}

func (c *clone) git(arguments ...string) string {
	command := exec.Command("git", append([]string{"-c", "user.name=Demo", "-c", "user.email=demo@example.com", "-c", "commit.gpgsign=false"}, arguments...)...)
	command.Dir = c.dir
	output, err := command.CombinedOutput()
	if err != nil {
		c.t.Fatalf("cannot run git %s: %v: %s", strings.Join(arguments, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}
