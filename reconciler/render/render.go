// Package render turns a folder of a Git tree into the Kubernetes objects that it describes.
package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/manifest"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Tree is an immutable tree of files, such as that of a commit. A tree with symbolic links also has a method
// Resolve(name string) (string, error), which returns the path that they lead to.
type Tree interface {
	fs.FS
	// Hash returns Git's object id of a file or folder; "." is the whole tree. The error for a missing one is an
	// fs.ErrNotExist.
	Hash(name string) (string, error)
}

// Decrypter turns encrypted files into plain text, in memory.
type Decrypter interface {
	// Encrypted reports whether a file is encrypted, or is the rest of an encrypted one.
	Encrypted(file string, content []byte) bool
	// Open decrypts an encrypted file. Its errors name no values.
	Open(ctx context.Context, file string, content []byte) (Opened, error)
}

// Scope says where the objects of an environment may be.
type Scope int

const (
	// Namespaced confines an environment to its own namespace.
	Namespaced Scope = iota
	// Cluster allows objects in other namespaces and cluster-scoped objects.
	Cluster
)

// maxBytes bounds how much a render reads in all, because all later costs grow with it. The tree itself bounds the
// size of a file and the number of files in a folder.
const maxBytes = 64 << 20

// maxItems bounds the number of values in manifests: each takes some hundred bytes of memory, and two in a file.
const maxItems = 1_000_000

// maxObjects bounds the number of objects, at four times as many as Berth is tested with.
const maxObjects = 20_000

// Options say what is rendered and for whom.
type Options struct {
	// Path is the folder of the manifests; "" and "." are the root of the tree.
	Path string
	// Namespace is the environment's, for namespaced objects that name none.
	Namespace string
	Scope     Scope
	// Policy limits what objects may claim of shared resources. The zero value allows everything.
	Policy Policy
	// Variables holds the built-in variables, all strings, and the entry's, of any scalar type. ${TREE:<folder>} is
	// computed from the tree and not listed here.
	Variables map[string]any
	// OtherVariables maps variables that only other entries of the Repository have to the name of one such entry.
	OtherVariables map[string]string
	// ClusterScoped reports whether a kind is cluster-scoped that is neither Kubernetes' own nor defined by a
	// CustomResourceDefinition in the same folder. An unknown kind is namespaced; so is every such kind if the
	// function is nil. An error means that the cluster cannot answer now, and becomes a problem of every object of
	// the kind.
	ClusterScoped func(schema.GroupKind) (bool, error)
	// Decrypter reads encrypted files; without one they are errors.
	Decrypter Decrypter
	// Decrypted names the kinds beside Secret whose objects may hold decrypted values: Kind, or Kind.group for kinds
	// that are not Kubernetes' own.
	Decrypted manifest.Kinds
	// Kustomize builds kustomizations; without it they are errors.
	Kustomize *kustomize.Builder
	// Urgent builds run before others. Of the others, those whose Owner used the least time run first.
	Urgent bool
	Owner  string
}

// Result is the outcome of a render, and its inputs.
type Result struct {
	Set    manifest.Set
	Inputs Inputs
}

// Render reads the folder o.Path of the tree and returns its objects in the order in which they are applied. It uses
// Kustomize if the folder holds a kustomization file. The error joins every problem found, each an *Error. With an
// error, the Set is empty and the Inputs are those that led to the error. Render keeps nothing and writes nothing;
// several may run at once. It ends with ctx, whose error it then returns.
func Render(ctx context.Context, tree Tree, o Options) (Result, error) {
	r := newRenderer(ctx, tree, o)
	set := r.set(ctx)
	result := Result{Inputs: r.inputs.result(r.variables.used)}
	if err := ctx.Err(); err != nil {
		return result, err
	}
	if err := r.problems.join(); err != nil {
		return result, err
	}
	result.Set = set
	return result, nil
}

// renderer holds the state of one call of Render.
type renderer struct {
	Options
	ctx       context.Context // of the call
	tree      Tree
	inputs    *recorder
	variables *variables
	problems  *problems
	veils     *veils
	aliases   *aliases
	bytes     int64 // read so far
	items     int   // in the manifests read so far
	warnings  []manifest.Warning
	// namespaces are those that kustomizations put their objects into, with the file that sets each.
	namespaces map[string]manifest.Origin
}

func newRenderer(ctx context.Context, tree Tree, o Options) *renderer {
	o.Path = strings.TrimPrefix(path.Clean("/"+o.Path), "/")
	if o.Path == "" {
		o.Path = "."
	}
	return &renderer{
		Options:   o,
		ctx:       ctx,
		tree:      tree,
		inputs:    newRecorder(tree, o.Path),
		variables: &variables{values: o.Variables, tree: tree, used: map[string]any{}, folders: map[string]error{}, others: o.OtherVariables, doubted: map[string]bool{}, assignments: map[string]*regexp.Regexp{}},
		problems:  &problems{},
		veils:     newVeils(),
		aliases:   &aliases{},
	}
}

// set runs the steps of a render in order; each leaves its problems in r.problems.
func (r *renderer) set(ctx context.Context) manifest.Set {
	if !r.pathExists() {
		return manifest.Set{}
	}
	kustomization := kustomizationIn(r.tree, r.Path)
	var documents []document
	if kustomization != "" {
		documents = r.kustomize(ctx, kustomization)
	} else {
		documents = r.plain()
	}
	objects := r.confined(r.objects(documents))
	if len(objects) == 0 && len(r.problems.list) == 0 {
		r.problems.add(&Error{Origin: manifest.Origin{File: r.Path}, Cause: ErrNoManifests,
			Hint: "nothing is deleted; to remove an environment, delete its branch or its entry"})
	}
	set := manifest.Set{Objects: r.ordered(objects)}
	for _, w := range set.Together() {
		r.warn(w)
	}
	set.Warnings = r.warnings
	return set
}

// maxWarnings bounds the number of warnings.
const maxWarnings = 200

func (r *renderer) warn(w manifest.Warning) {
	if len(r.warnings) < maxWarnings {
		w.Object, w.Text = shortened(unveiled(w.Object)), shortened(unveiled(w.Text))
		r.warnings = append(r.warnings, w)
	}
}

func (r *renderer) pathExists() bool {
	info, err := fs.Stat(r.tree, r.Path)
	origin := manifest.Origin{File: r.Path}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.problems.add(&Error{Origin: origin, Cause: ErrNoPath,
			Hint: "check the entry's path; nothing is deleted"})
	case err != nil:
		r.problems.add(unreadable(r.Path, err))
	case !info.IsDir():
		r.problems.add(&Error{Origin: origin, Problem: "this is a file", Cause: ErrNoPath,
			Hint: "set the entry's path to the folder that holds it; nothing is deleted"})
	default:
		return true
	}
	return false
}

// readFile reads one file. For an encrypted one it returns the plain text, with veils over the values that were
// encrypted.
func (r *renderer) readFile(name string) (content []byte, encrypted bool, err error) {
	r.inputs.record(name)
	content, err = r.readBounded(name)
	if err != nil {
		return nil, false, err
	}
	if !r.isEncrypted(name, content) {
		return content, false, nil
	}
	content, err = r.decrypt(name, content)
	return content, true, err
}

func (r *renderer) readBounded(name string) ([]byte, error) {
	info, err := fs.Stat(r.tree, name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	if r.bytes += info.Size(); r.exhausted() {
		return nil, &Error{Origin: manifest.Origin{File: name}, Problem: fmt.Sprintf("this file exceeds the limit of %d MiB for all files of an environment", maxBytes>>20),
			Hint: "move files that are not manifests out of the entry's path, or split them over several entries"}
	}
	content, err := fs.ReadFile(r.tree, name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	if isManifest(name) {
		r.items += items(content)
	}
	if r.exhausted() {
		return nil, &Error{Origin: manifest.Origin{File: name}, Problem: fmt.Sprintf("this file exceeds the limit of %d lines and items in brackets for all files of an environment", maxItems),
			Hint: "move files that are not manifests out of the entry's path, or split them over several entries"}
	}
	return content, nil
}

// items estimates the number of values in a text before a parser creates them: each, except the first of a line,
// follows one of these characters.
func items(content []byte) (count int) {
	for _, before := range []string{"\n", ",", "[", "{", "- ", "? "} {
		count += bytes.Count(content, []byte(before))
	}
	return count
}

// exhausted reports whether reading stops because of a limit.
func (r *renderer) exhausted() bool { return r.bytes > maxBytes || r.items > maxItems }
