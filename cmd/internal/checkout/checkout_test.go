package checkout_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/cmd/internal/checkout"
)

// The hashes must equal those of Git for a commit of the same files.
func TestHashesAreGits(t *testing.T) {
	dir := repository(t)
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "all")
	tree := open(t, dir)
	for _, name := range []string{".", "app", "app/run.sh", "app/link", "app/sub", "app.txt", "app/empty.txt", ".gitignore"} {
		want := git(t, dir, "rev-parse", "HEAD:./"+name)
		got, err := tree.Hash(name)
		if err != nil || got != want {
			t.Errorf("Hash(%q) = %q, %v; Git says %q", name, got, err, want)
		}
	}
}

func TestChangesThatAreNotCommittedCount(t *testing.T) {
	dir := repository(t)
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "all")
	before, _ := open(t, dir).Hash("app")
	write(t, dir, "app/sub/new.txt", "new", 0o644)
	if err := os.Remove(filepath.Join(dir, "app/empty.txt")); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, dir).Hash("app")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "more")
	if want := git(t, dir, "rev-parse", "HEAD:app"); err != nil || got != want || got == before {
		t.Errorf("Hash(app) = %q, %v; after a commit Git says %q, before it was %q", got, err, want, before)
	}
}

func TestACommitIsAsGitHasIt(t *testing.T) {
	dir := repository(t)
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "all")
	commit := git(t, dir, "rev-parse", "HEAD")
	write(t, dir, "app.txt", "changed and not committed", 0o644)
	tree, id, remove, err := checkout.OpenCommit(filepath.Join(dir, "app"), commit[:10])
	if err != nil || id != commit {
		t.Fatal(id, err)
	}
	for _, name := range []string{".", "app", "app/run.sh", "app/link", "app.txt"} {
		want := git(t, dir, "rev-parse", commit+":./"+name)
		if got, err := tree.Hash(name); err != nil || got != want {
			t.Errorf("Hash(%q) = %q, %v; Git says %q", name, got, err, want)
		}
	}
	root := tree.Root()
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy is still there: %v", err)
	}
	for _, where := range []string{dir, plain(t)} {
		if _, _, _, err := checkout.OpenCommit(where, strings.Repeat("0", 40)); err == nil || !strings.HasSuffix(err.Error(), " that has it") {
			t.Errorf("a commit that is not there: %v", err)
		}
	}
}

func TestWhatIsInTheTree(t *testing.T) {
	dir := repository(t)
	for _, test := range []struct {
		name string
		tree *checkout.Tree
		want string
	}{
		{"in a repository, what Git would have", open(t, dir), ". .gitignore app app/empty.txt app/link app/run.sh app/sub app/sub/file.txt app.txt"},
		{"elsewhere, everything", open(t, plain(t)), ". a a/b.txt a/ignored.log"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var names []string
			err := fs.WalkDir(test.tree, ".", func(name string, _ fs.DirEntry, err error) error {
				names = append(names, name)
				return err
			})
			if diff := cmp.Diff(test.want, strings.Join(names, " ")); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

func TestTheFolderIsThatOfTheRepository(t *testing.T) {
	dir := repository(t)
	tree, folder, err := checkout.Open(filepath.Join(dir, "app", "sub"))
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if folder != "app/sub" {
		t.Errorf("the folder is %q, want app/sub", folder)
	}
	if content, err := tree.ReadFile("app/sub/file.txt"); string(content) != "file" {
		t.Errorf("app/sub/file.txt holds %q, %v", content, err)
	}
}

func TestATreeCanBeginBelow(t *testing.T) {
	dir := repository(t)
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "all")
	tree, folder, err := checkout.OpenBelow(filepath.Join(dir, "app"), filepath.Join(dir, "app/sub"))
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if got, err := tree.Hash(folder); folder != "sub" || got != git(t, dir, "rev-parse", "HEAD:app/sub") {
		t.Errorf("the hash of %q is %q, %v", folder, got, err)
	}
	if _, err := tree.Stat("ignored.log"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what Git ignores is there: %v", err)
	}
	if _, _, err := checkout.OpenBelow(filepath.Join(dir, "app/sub"), dir); err == nil || !strings.Contains(err.Error(), "is not in") {
		t.Errorf("a folder above the root: got %v", err)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	dir := repository(t)
	tree := open(t, dir)
	for _, test := range []struct{ name, file string }{
		{"ignored", "app/ignored.log"},
		{"Git's own", ".git/HEAD"},
		{"absent", "nothing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, hashing := tree.Hash(test.file)
			_, stat := tree.Stat(test.file)
			_, reading := tree.ReadFile(test.file)
			_, opening := tree.Open(test.file)
			for _, err := range []error{hashing, stat, reading, opening} {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("got %v, want an fs.ErrNotExist", err)
				}
			}
		})
	}
	if _, err := tree.Hash("../x"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a name that leads out is %v, want an fs.ErrInvalid", err)
	}
}

func TestALinkThatLeadsOutIsNotFollowed(t *testing.T) {
	dir := plain(t)
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, filepath.Dir(secret), "secret", "s", 0o600)
	if err := os.Symlink(secret, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if content, err := open(t, dir).ReadFile("out"); err == nil {
		t.Errorf("read %q through a link that leads out", content)
	}
}

func TestANestedRepositoryHasNoHash(t *testing.T) {
	dir := repository(t)
	nested := filepath.Join(dir, "nested")
	write(t, nested, "file", "x", 0o644)
	git(t, nested, "init", "-q")
	if _, err := open(t, dir).Hash("nested"); err == nil || !strings.Contains(err.Error(), "repository of its own") {
		t.Errorf("got %v", err)
	}
}

func TestAFileIsNoTree(t *testing.T) {
	dir := plain(t)
	for _, name := range []string{"a/b.txt", "nothing"} {
		if _, _, err := checkout.Open(filepath.Join(dir, name)); err == nil {
			t.Errorf("Open(%q) went well", name)
		}
	}
}

func open(t *testing.T, dir string) *checkout.Tree {
	t.Helper()
	tree, _, err := checkout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

// repository creates a repository with files that Git hashes in special ways. app and app.txt sort differently as
// file and folder.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	write(t, dir, ".gitignore", "*.log\n", 0o644)
	write(t, dir, "app.txt", "text", 0o644)
	write(t, dir, "app/run.sh", "#!/bin/sh\n", 0o755)
	write(t, dir, "app/empty.txt", "", 0o644)
	write(t, dir, "app/ignored.log", "log", 0o644)
	write(t, dir, "app/sub/file.txt", "file", 0o644)
	if err := os.MkdirAll(filepath.Join(dir, "app/nothing"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("run.sh", filepath.Join(dir, "app/link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func plain(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "a/b.txt", "b", 0o644)
	write(t, dir, "a/ignored.log", "log", 0o644)
	return dir
}

func write(t *testing.T, dir, name, content string, mode os.FileMode) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.autocrlf=false"}, args...)...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
