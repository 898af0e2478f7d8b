// Package manifest gives Kubernetes objects from Git their identity, origin, order and digest.
package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Key identifies an object in a cluster. The API version is not part of the identity, because the same object is
// served in several.
type Key struct {
	Group, Kind     string
	Namespace, Name string
}

// KeyOf returns the identity of an object.
func KeyOf(obj *unstructured.Unstructured) Key {
	gk := obj.GroupVersionKind().GroupKind()
	return Key{Group: gk.Group, Kind: gk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// GroupKind returns the kind that the key names.
func (k Key) GroupKind() schema.GroupKind { return schema.GroupKind{Group: k.Group, Kind: k.Kind} }

// String returns kind/namespace/name, as people write it. It leaves out the group, which matters only where two
// groups share a kind's name.
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + "/" + k.Name
	}
	return k.Kind + "/" + k.Namespace + "/" + k.Name
}

// Short returns kind/name, for texts whose namespace is clear.
func (k Key) Short() string { return k.Kind + "/" + k.Name }

// Compare orders keys by kind, namespace, name and group.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), cmp.Compare(k.Namespace, o.Namespace),
		cmp.Compare(k.Name, o.Name), cmp.Compare(k.Group, o.Group))
}

// Origin is the place in Git that an object came from.
type Origin struct {
	File string
	Line int // of the object's first line, from 1; 0 when unknown (a generator's output, say)
}

// String returns file:line.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// Object is one desired object and where it came from.
type Object struct {
	*unstructured.Unstructured
	Origin Origin
	// Digest identifies the content, and for a Job its spec alone; Seal sets it.
	Digest string
	// otherwise is the digest that the object has if decryption.kinds is different, see Seal.
	otherwise string
	// unrestarted is the object sealed as if decryption.kinds were different; or nil.
	unrestarted *Object
	// Yields is true for a copy, which Git does not hold: it never overwrites an existing object.
	Yields bool
}

// Key returns the object's identity.
func (o Object) Key() Key { return KeyOf(o.Unstructured) }

// Kinds names kinds: Kubernetes' own as Kind, and any kind as Kind.group.
type Kinds []string

// Has reports whether a kind is among them.
func (k Kinds) Has(gk schema.GroupKind) bool {
	own := !strings.Contains(gk.Group, ".") || strings.HasSuffix(gk.Group, ".k8s.io")
	return slices.Contains(k, gk.Kind+"."+gk.Group) || own && slices.Contains(k, gk.Kind)
}

// MayHoldSecrets says whether objects of a kind may hold what was decrypted: Secrets may, and the kinds that an entry names.
// Such objects have keyed digests, and their values are masked wherever they are shown.
func (k Kinds) MayHoldSecrets(gk schema.GroupKind) bool { return gk == SecretKind || k.Has(gk) }

// SecretKind is Kubernetes' Secret.
var SecretKind = schema.GroupKind{Kind: "Secret"}

// Set is what one environment should consist of, in the order in which it is applied.
type Set struct {
	Objects []Object
	// Warnings are shown to users and block nothing.
	Warnings []Warning
}

// Len returns the number of objects.
func (s Set) Len() int { return len(s.Objects) }

// Kinds returns the kinds of the set's objects, each once, sorted.
func (s Set) Kinds() []schema.GroupVersionKind {
	seen := map[schema.GroupVersionKind]bool{}
	for _, o := range s.Objects {
		seen[o.GroupVersionKind()] = true
	}
	kinds := make([]schema.GroupVersionKind, 0, len(seen))
	for k := range seen {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return cmp.Compare(a.String(), b.String()) })
	return kinds
}

// DuplicateError means that a set has two objects with the same identity.
type DuplicateError struct {
	Key           Key
	Origin, First Origin
}

// Error names both origins.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("%s: %s is already defined at %s; remove one of the two", e.Origin, e.Key, e.First)
}

// Unique returns a *DuplicateError for every object whose identity occurred before in the set.
func (s Set) Unique() []error {
	var errs []error
	first := make(map[Key]Origin, len(s.Objects))
	for _, o := range s.Objects {
		key := o.Key()
		if origin, ok := first[key]; ok {
			errs = append(errs, &DuplicateError{Key: key, Origin: o.Origin, First: origin})
			continue
		}
		first[key] = o.Origin
	}
	return errs
}

// MarshalText writes the key as kind.group/namespace/name, for use as a key in JSON.
func (k Key) MarshalText() ([]byte, error) {
	return []byte(k.Kind + "." + k.Group + "/" + k.Namespace + "/" + k.Name), nil
}

// UnmarshalText reads what MarshalText wrote.
func (k *Key) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "/")
	if len(parts) != 3 {
		return fmt.Errorf("cannot read object key %q: want kind.group/namespace/name", text)
	}
	k.Kind, k.Group, _ = strings.Cut(parts[0], ".")
	k.Namespace, k.Name = parts[1], parts[2]
	return nil
}
