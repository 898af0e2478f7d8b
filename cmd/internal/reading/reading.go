// Package reading records which files of a tree are read, and lists manifests that were not.
package reading

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"berth.dev/berth/reconciler/render"
)

// Tree wraps another tree, and records which files are read. It is not safe for concurrent use.
type Tree struct {
	render.Tree
	read map[string]bool
}

// Of returns a Tree without any files read yet.
func Of(tree render.Tree) *Tree { return &Tree{Tree: tree, read: map[string]bool{}} }

// ReadFile returns the content of a file, and records that it was read.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	t.read[name] = true
	return fs.ReadFile(t.Tree, name)
}

// Stat describes a file or folder, following links.
func (t *Tree) Stat(name string) (fs.FileInfo, error) { return fs.Stat(t.Tree, name) }

// ReadDir lists a folder.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(t.Tree, name) }

// Resolve follows links, if the tree supports them.
func (t *Tree) Resolve(name string) (string, error) {
	if tree, ok := t.Tree.(interface {
		Resolve(name string) (string, error)
	}); ok {
		return tree.Resolve(name)
	}
	return name, nil
}

// kustomizations are the file names that Kustomize looks for.
var kustomizations = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// NotListed is the message about a manifest that Unlisted returns.
const NotListed = "no kustomization lists it, so that it is not applied; add it to resources, or move it elsewhere"

// Unlisted returns the manifests beside a kustomization that was read, if they were not read themselves. No
// kustomization lists them, so they are not applied, and Kustomize does not report that.
func (t *Tree) Unlisted() []string {
	var unlisted []string
	for name := range t.read {
		if !slices.Contains(kustomizations, path.Base(name)) {
			continue
		}
		entries, err := fs.ReadDir(t.Tree, path.Dir(name))
		if err != nil {
			continue // the renderer reports that
		}
		for _, entry := range entries {
			beside := path.Join(path.Dir(name), entry.Name())
			if entry.Type().IsRegular() && !t.read[beside] && t.isManifest(beside) {
				unlisted = append(unlisted, beside)
			}
		}
	}
	slices.Sort(unlisted)
	return unlisted
}

// isManifest reports whether a file begins with an object that can be applied.
func (t *Tree) isManifest(name string) bool {
	if !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)) || strings.HasPrefix(path.Base(name), ".") {
		return false
	}
	content, err := fs.ReadFile(t.Tree, name)
	if err != nil {
		return false
	}
	var object struct{ APIVersion, Kind string }
	for document := range strings.SplitSeq("\n"+string(content), "\n---") {
		if err := yaml.Unmarshal([]byte(document), &object); err == nil && object.Kind != "" {
			return object.APIVersion != "" && !strings.HasPrefix(object.APIVersion, "kustomize.config.k8s.io/")
		}
	}
	return false
}
