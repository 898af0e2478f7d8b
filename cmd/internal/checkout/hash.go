package checkout

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The modes with which Git stores files.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeLink       = "120000"
	modeTree       = "40000"
)

// hashed is a file or folder as an entry of its parent folder.
type hashed struct {
	name string
	mode string
	id   [sha1.Size]byte
}

// order returns the key by which Git sorts the entries of a folder.
func (h hashed) order() string {
	if h.mode == modeTree {
		return h.name + "/"
	}
	return h.name
}

// Hash returns the object id that a file or folder would have if everything were committed now; "." is the whole
// tree. It hashes the content on disk, without the filters of .gitattributes.
func (t *Tree) Hash(name string) (string, error) {
	if err := t.shown("hash", name); err != nil {
		return "", err
	}
	h, err := t.hash(name)
	return hex.EncodeToString(h.id[:]), err
}

func (t *Tree) hash(name string) (hashed, error) {
	if h, ok := t.hashes[name]; ok {
		return h, nil
	}
	info, err := t.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return hashed{}, err
	}
	h := hashed{name: path.Base(name)}
	switch {
	case info.IsDir() && t.isNested(name):
		return h, fmt.Errorf("%s is a repository of its own, whose hash in this one is not known from its files", name)
	case info.IsDir():
		h.mode = modeTree
		h.id, err = t.hashFolder(name)
	case info.Mode()&fs.ModeSymlink != 0:
		h.mode = modeLink
		var target string
		if target, err = t.root.Readlink(filepath.FromSlash(name)); err == nil {
			h.id = sum("blob", []byte(filepath.ToSlash(target)))
		}
	default:
		h.mode = modeOf(info)
		var content []byte
		if content, err = t.root.ReadFile(filepath.FromSlash(name)); err == nil {
			h.id = sum("blob", content)
		}
	}
	if err == nil {
		t.hashes[name] = h
	}
	return h, err
}

func modeOf(info os.FileInfo) string {
	if info.Mode().Perm()&0o100 != 0 {
		return modeExecutable
	}
	return modeFile
}

func (t *Tree) hashFolder(name string) ([sha1.Size]byte, error) {
	entries, err := t.ReadDir(name)
	if err != nil {
		return [sha1.Size]byte{}, err
	}
	var children []hashed
	for _, e := range entries {
		child, err := t.hash(path.Join(name, e.Name()))
		if err != nil {
			return [sha1.Size]byte{}, err
		}
		if child.mode != modeTree || child.id != emptyTree {
			children = append(children, child)
		}
	}
	slices.SortFunc(children, func(a, b hashed) int { return strings.Compare(a.order(), b.order()) })
	var content []byte
	for _, c := range children {
		content = append(content, c.mode+" "+c.name+"\x00"...)
		content = append(content, c.id[:]...)
	}
	return sum("tree", content), nil
}

// emptyTree is the id of a folder without files, which Git does not store.
var emptyTree = sum("tree", nil)

// sum returns the id of a Git object.
func sum(kind string, content []byte) [sha1.Size]byte {
	return sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", kind, len(content)), content...))
}
