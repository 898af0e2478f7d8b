// Package checkout reads a folder on disk as if it were the tree of a commit, with the hashes that Git would
// compute.
package checkout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Tree is the files of a checkout on disk, including uncommitted changes. It excludes .git and the files that Git
// ignores. Without a repository or the git program, it excludes only .git.
//
// Symbolic links are followed while they stay inside.
type Tree struct {
	root  *os.Root
	files fs.FS
	// visible are the files that Git tracks or would add, and the folders above them; nil means all.
	visible map[string]bool
	hashes  map[string]hashed
}

var (
	_ fs.ReadDirFS  = (*Tree)(nil)
	_ fs.ReadFileFS = (*Tree)(nil)
	_ fs.StatFS     = (*Tree)(nil)
)

// Open opens the repository around a folder, and returns the folder's path in it. A folder outside all repositories
// is a tree of its own.
func Open(dir string) (tree *Tree, folder string, err error) {
	dir, err = realPath(dir)
	if err != nil {
		return nil, "", err
	}
	top, _ := repositoryOf(dir)
	return open(top, dir)
}

// OpenBelow opens a folder in a tree that begins at a folder above it.
func OpenBelow(top, dir string) (tree *Tree, folder string, err error) {
	if top, err = realPath(top); err != nil {
		return nil, "", err
	}
	if dir, err = realPath(dir); err != nil {
		return nil, "", err
	}
	return open(top, dir)
}

func open(top, dir string) (tree *Tree, folder string, err error) {
	folder, err = filepath.Rel(top, dir)
	if err != nil || !filepath.IsLocal(folder) {
		return nil, "", fmt.Errorf("%s is not in %s", dir, top)
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, "", err
	}
	tree = &Tree{root: root, files: root.FS(), hashes: map[string]hashed{}}
	if _, isRepository := repositoryOf(top); isRepository {
		tree.visible = listed(top)
	}
	return tree, filepath.ToSlash(folder), nil
}

// realPath returns the absolute path of a folder without links, because Git identifies the folder by that.
func realPath(dir string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is a file; name the folder that holds it", dir)
	}
	return filepath.Abs(real)
}

// repositoryOf walks up to the folder with a .git, which is a file in a worktree and in a submodule.
func repositoryOf(dir string) (top string, found bool) {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at, true
		}
		if at == filepath.Dir(at) {
			return dir, false
		}
	}
}

// listed returns the files that Git lists, or nil if Git fails.
func listed(top string) map[string]bool {
	// A file system monitor would be a program that the repository names.
	out, err := exec.Command("git", "-C", top, "-c", "core.fsmonitor=false", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return nil
	}
	visible := map[string]bool{".": true}
	for name := range strings.SplitSeq(string(out), "\x00") {
		// Git lists a nested repository that is no submodule with a slash at its end.
		for name = strings.TrimSuffix(name, "/"); name != "" && !visible[name]; name = path.Dir(name) {
			visible[name] = true
		}
	}
	return visible
}

// Root returns the folder on disk at which the tree begins.
func (t *Tree) Root() string { return t.root.Name() }

// Close closes the folder.
func (t *Tree) Close() error { return t.root.Close() }

// shown returns an error for files outside the tree, as if they did not exist.
func (t *Tree) shown(op, name string) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if !t.has(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return nil
}

func (t *Tree) has(name string) bool {
	if slices.Contains(strings.Split(name, "/"), ".git") {
		return false
	}
	if t.visible == nil || t.visible[name] {
		return true
	}
	// A link gives other names to files that Git lists; the link itself must be listed.
	for above := path.Dir(name); above != "."; above = path.Dir(above) {
		if info, err := t.root.Lstat(above); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return t.visible[above]
		}
	}
	return false
}

// Resolve returns the path of a name after following all symbolic links.
func (t *Tree) Resolve(name string) (string, error) {
	if err := t.shown("resolve", name); err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(filepath.Join(t.root.Name(), filepath.FromSlash(name)))
	if err != nil {
		return "", err
	}
	inside, err := filepath.Rel(t.root.Name(), real)
	if err != nil || !filepath.IsLocal(inside) {
		return "", &fs.PathError{Op: "resolve", Path: name, Err: errors.New("the link leads out of the repository")}
	}
	return filepath.ToSlash(inside), nil
}

// Open opens a file or folder.
func (t *Tree) Open(name string) (fs.File, error) {
	if err := t.shown("open", name); err != nil {
		return nil, err
	}
	return t.files.Open(name)
}

// ReadFile returns the content of a file.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	if err := t.shown("read", name); err != nil {
		return nil, err
	}
	return t.root.ReadFile(filepath.FromSlash(name))
}

// Stat describes a file or folder, following links.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	if err := t.shown("stat", name); err != nil {
		return nil, err
	}
	return t.root.Stat(filepath.FromSlash(name))
}

// ReadDir lists the entries of a folder that Git stores, sorted by name. Git stores no folders without files.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := t.shown("readdir", name); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(t.files, name)
	if err != nil {
		return nil, err
	}
	kept := entries[:0]
	for _, e := range entries {
		if t.has(path.Join(name, e.Name())) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// isNested reports whether a folder is a repository of its own, whose files Git would not store.
func (t *Tree) isNested(name string) bool {
	_, err := t.root.Lstat(filepath.FromSlash(path.Join(name, ".git")))
	return name != "." && !errors.Is(err, fs.ErrNotExist)
}
