package render

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Inputs is what a render depended on: whoever finds them the same need not render again. The entry
// itself (its path, its scope, which variables it names) and the keys are inputs too; the caller
// knows those.
type Inputs struct {
	// Hashes holds Git's object ids of the folder and of every file and folder that was read outside
	// of it, by path; that of what was looked for in vain is empty.
	Hashes map[string]string `json:"hashes"`
	// Variables holds the values of the variables that were used, "TREE:<folder>" among them.
	Variables map[string]any `json:"variables"`
	// Outside says of kinds that Options.ClusterScoped was asked about whether they live outside namespaces.
	Outside map[Kind]bool `json:"outside,omitempty"`
}

// Kind is a kind and its group, to be written as one word.
type Kind schema.GroupKind

// MarshalText writes Kind.group.
func (k Kind) MarshalText() ([]byte, error) { return []byte(schema.GroupKind(k).String()), nil }

// Same says whether a render of another tree, with these values of the variables, would depend on
// the same.
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

// SameScopes says whether the kinds that were asked about still live where they did: a kind that nobody knew may have
// been defined since. Where that cannot be told, what was told before holds.
func (i Inputs) SameScopes(clusterScoped func(schema.GroupKind) (bool, error)) bool {
	for kind, before := range i.Outside {
		if now, err := clusterScoped(schema.GroupKind(kind)); err == nil && now != before {
			return false
		}
	}
	return true
}

// Digest stands for the inputs in records and as the key of a cache.
func (i Inputs) Digest() string {
	// Encoding sorts the keys. Values that JSON lacks (NaN) are no variables, see textOf.
	text, err := json.Marshal(i)
	if err != nil {
		return manifest.Digest(fmt.Sprintf("%#v", i))
	}
	return manifest.Digest(string(text))
}

// sameValue compares as JSON, in which the types of numbers do not matter.
func sameValue(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}

// hashOf returns "" for what cannot be found.
func hashOf(tree Tree, name string) string {
	hash, err := tree.Hash(name)
	if err != nil {
		return ""
	}
	return hash
}

// resolver is a Tree that knows symbolic links. The hash of a link is the link's own, so that what it
// leads to is noted beside it.
type resolver interface {
	// Resolve returns the path that a name has once all links are followed.
	Resolve(name string) (string, error)
}

// recorder notes what is read.
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

// record notes a file or folder that was read, or looked for.
func (r *recorder) record(name string) {
	if r.path == "." {
		return // all of the tree
	}
	r.note(name)
	if tree, ok := r.tree.(resolver); ok {
		if real, err := tree.Resolve(name); err == nil && real != name {
			r.note(real)
		}
	}
}

// note keeps the hash of a file or folder unless that of a folder above it is kept.
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
