package render

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// plain reads every manifest below the path.
func (r *renderer) plain() []document {
	w := &walk{renderer: r, followed: map[string]bool{}}
	w.folder(r.Path)
	return w.documents
}

// walk reads the manifests of a folder, and of the folders that its links lead to.
type walk struct {
	renderer  *renderer
	documents []document
	// followed are the folders that links led to.
	followed map[string]bool
}

func (w *walk) folder(name string) {
	if err := fs.WalkDir(w.renderer.tree, name, w.visit); err != nil {
		w.renderer.problems.add(unreadable(name, err))
	}
}

// visit is an fs.WalkDirFunc.
func (w *walk) visit(name string, entry fs.DirEntry, err error) error {
	r := w.renderer
	switch {
	case err != nil:
		r.problems.add(unreadable(name, err))
		return nil
	case name != r.Path && strings.HasPrefix(entry.Name(), "."):
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	case entry.Type()&fs.ModeIrregular != 0:
		// A skipped submodule's objects would be missing from the cluster, or be pruned.
		r.problems.add(&Error{Origin: manifest.Origin{File: name}, Problem: "it is a submodule, and Berth reads only the repository itself",
			Hint: "copy what is needed into the repository, or move it out of the entry's path"})
		return nil
	case entry.Type()&fs.ModeSymlink != 0 && !isManifest(name):
		w.link(name)
		return nil
	case entry.IsDir() || !isManifest(name):
		return nil
	case isKustomization(entry.Name()):
		r.problems.add(&Error{Origin: manifest.Origin{File: name},
			Problem: fmt.Sprintf("this folder is for Kustomize, but %q itself has no kustomization.yaml", r.Path),
			Hint:    "set the entry's path to this folder, or add a kustomization.yaml that lists it under resources"})
		return nil
	}
	found, err := r.documents(name)
	if err != nil {
		r.problems.add(err)
		if r.exhausted() {
			return fs.SkipAll
		}
	}
	w.documents = append(w.documents, found...)
	return nil
}

// link follows a link to a folder once, unless the target is read anyway.
func (w *walk) link(name string) {
	r := w.renderer
	r.inputs.record(name)
	info, err := fs.Stat(r.tree, name)
	if err != nil {
		r.warn(manifest.Warning{Origin: manifest.Origin{File: name}, Text: "the link leads to nothing in this repository, and is not followed"})
		return
	}
	if !info.IsDir() {
		return
	}
	real, here := r.resolved(name), r.resolved(r.Path)
	switch {
	case real == here || within(here, real):
		r.problems.add(&Error{Origin: manifest.Origin{File: name}, Problem: fmt.Sprintf("the link leads to %q, which contains the link", real),
			Hint: "remove it, or move it out of the entry's path"})
	case within(real, here) || w.followed[real]:
	default:
		w.followed[real] = true
		w.folder(name)
	}
}

// resolved returns the path of a name after links are followed.
func (r *renderer) resolved(name string) string {
	if tree, ok := r.tree.(resolver); ok {
		if real, err := tree.Resolve(name); err == nil {
			return real
		}
	}
	return path.Clean(name)
}

// within reports whether a path is below a folder.
func within(name, folder string) bool {
	return folder == "." && name != "." || strings.HasPrefix(name, folder+"/")
}
