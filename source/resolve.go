package source

import (
	"io/fs"
	"path"
	"strings"
)

// lastElement says how to treat a link at the end of a path.
type lastElement int

const (
	followLast lastElement = iota
	keepLast
)

// maxLinks bounds how many links one path may go through, as operating systems do.
const maxLinks = 40

// node is the target of a path.
type node struct {
	entry
	path string // without links
}

// walk is the state of following a path through the tree.
type walk struct {
	snapshot *Snapshot
	name     string // as requested
	trail    []node // from the root to the current folder
	todo     []string
	links    int
}

// resolve follows a path from the root, and links as long as they stay inside.
func (s *Snapshot) resolve(op, name string, last lastElement) (node, error) {
	if !fs.ValidPath(name) {
		return node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	root := node{entry: entry{name: ".", mode: fs.ModeDir | 0o555, id: s.object.tree}, path: "."}
	w := &walk{snapshot: s, name: name, trail: []node{root}, todo: strings.Split(name, "/")}
	for len(w.todo) > 0 {
		next := w.todo[0]
		w.todo = w.todo[1:]
		found, err := w.step(next, last)
		if err != nil {
			return node{}, err
		}
		if !found {
			return node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
	}
	return w.here(), nil
}

func (w *walk) here() node { return w.trail[len(w.trail)-1] }

// step follows one more element.
func (w *walk) step(element string, last lastElement) (found bool, err error) {
	switch element {
	case "", ".":
		return true, nil
	case "..": // only a link contains this
		if len(w.trail) == 1 {
			return false, w.refuse("its link leads out of the repository")
		}
		w.trail = w.trail[:len(w.trail)-1]
		return true, nil
	}
	here := w.here()
	if here.isSubmodule() {
		return false, w.refuse("it lies in a submodule, and Berth reads only the repository itself")
	}
	if !here.isDir() {
		return false, nil
	}
	entries, err := w.snapshot.entries(here.id, here.path)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.name != element {
			continue
		}
		if e.isSymlink() && (last != keepLast || len(w.todo) > 0) {
			return true, w.follow(e)
		}
		w.trail = append(w.trail, node{entry: e, path: path.Join(here.path, e.name)})
		return true, nil
	}
	return false, nil
}

// follow inserts a link's target before the rest of the path.
func (w *walk) follow(link entry) error {
	if w.links++; w.links > maxLinks {
		return w.refuse("its links go in circles")
	}
	target, err := w.snapshot.linkTarget(link, w.name)
	if err != nil {
		return err
	}
	if path.IsAbs(target) {
		return w.refuse("its link leads out of the repository, to an absolute path")
	}
	w.todo = append(strings.Split(target, "/"), w.todo...)
	return nil
}

func (w *walk) refuse(cause string) error {
	return w.snapshot.wrong("read", w.name, &fault{reason: Refused, cause: cause,
		hint: "put the file itself into the repository"})
}

// maxTarget is the longest path of common operating systems.
const maxTarget = 4096

func (s *Snapshot) linkTarget(link entry, name string) (string, error) {
	data, err := s.blob(link.id, maxTarget)
	if err != nil {
		return "", s.wrong("follow", name, err)
	}
	return string(data), nil
}
