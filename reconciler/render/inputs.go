package render

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Inputs are what a render depended on: a render with the same inputs gives the same result. The entry (its path, its
// scope, the variables it names) and the keys are inputs too, and known to the caller.
type Inputs struct {
	// Hashes holds Git's object ids of the folder, and of every file and folder that was read outside of it, by path.
	// The hash of a missing file is empty.
	Hashes map[string]string `json:"hashes"`
	// Variables holds the values of the variables that were used, "TREE:<folder>" among them.
	Variables map[string]any `json:"variables"`
	// Outside holds the answers of Options.ClusterScoped: true for kinds that are cluster-scoped.
	Outside map[Kind]bool `json:"outside,omitempty"`
}

// Kind is a kind and its group, written as one word.
type Kind schema.GroupKind

// MarshalText writes Kind.group.
func (k Kind) MarshalText() ([]byte, error) { return []byte(schema.GroupKind(k).String()), nil }

// Same reports whether a render of another tree, with these values of the variables, would have the same inputs.
func (i Inputs) Same(tree Tree, values map[string]any) bool {
	for name, hash := range i.Hashes {
		if hashOf(tree, name) != hash {
			return false
		}
	}
	for name, value := range i.Variables {
		if folder, ok := strings.CutPrefix(name, treePrefix); ok {
			if hashOf(tree, cleanFolder(folder)) != value {
				return false
			}
			continue
		}
		other, ok := values[name]
		if !ok || !sameValue(value, other) {
			return false
		}
	}
	return true
}

// SameScopes reports whether the kinds that were asked about still have their scope: a kind that was unknown may have
// been defined since. If the cluster cannot answer now, the earlier answer stands.
func (i Inputs) SameScopes(clusterScoped func(schema.GroupKind) (bool, error)) bool {
	for kind, before := range i.Outside {
		if now, err := clusterScoped(schema.GroupKind(kind)); err == nil && now != before {
			return false
		}
	}
	return true
}

// Digest identifies the inputs in records and as the key of a cache.
func (i Inputs) Digest() string {
	// Encoding sorts the keys. Values that JSON lacks (NaN) are no variables, see textOf.
	text, err := json.Marshal(i)
	if err != nil {
		return manifest.Digest(fmt.Sprintf("%#v", i))
	}
	return manifest.Digest(string(text))
}

// sameValue compares values as JSON, which does not distinguish types of numbers.
func sameValue(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}

// hashOf returns the hash of a file or folder, or "" if there is none.
func hashOf(tree Tree, name string) string {
	hash, err := tree.Hash(name)
	if err != nil {
		return ""
	}
	return hash
}

// resolver is a Tree that knows symbolic links. The hash of a link does not cover its target, so the target is noted
// as well.
type resolver interface {
	// Resolve returns the path of a name after all links are followed.
	Resolve(name string) (string, error)
}

// recorder notes which files and folders are read.
type recorder struct {
	tree    Tree
	path    string
	hashes  map[string]string
	outside map[Kind]bool
}

func newRecorder(tree Tree, folder string) *recorder {
	r := &recorder{tree: tree, path: folder, hashes: map[string]string{folder: hashOf(tree, folder)}, outside: map[Kind]bool{}}
	r.record(folder)
	return r
}

// record notes a file or folder that was read, or was missing.
func (r *recorder) record(name string) {
	if r.path == "." {
		return // the whole tree is an input already
	}
	r.note(name)
	if tree, ok := r.tree.(resolver); ok {
		if real, err := tree.Resolve(name); err == nil && real != name {
			r.note(real)
		}
	}
}

// note keeps the hash of a file or folder unless the hash of a folder above it is kept.
func (r *recorder) note(name string) {
	if _, ok := r.hashes[name]; ok {
		return
	}
	for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
		if r.hashes[folder] != "" {
			return
		}
	}
	r.hashes[name] = hashOf(r.tree, name)
}

func (r *recorder) result(used map[string]any) Inputs {
	return Inputs{Hashes: r.hashes, Variables: used, Outside: r.outside}
}
