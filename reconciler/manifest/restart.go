package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// nameable returns the ConfigMaps and Secrets of the set; nil if no workload asks to be restarted for them.
func (s Set) nameable() map[Key]*Object {
	if !slices.ContainsFunc(s.Objects, restarts) {
		return nil
	}
	found := map[Key]*Object{}
	for i := range s.Objects {
		if o := &s.Objects[i]; o.GetAPIVersion() == "v1" && (o.GetKind() == "ConfigMap" || o.GetKind() == "Secret") {
			found[o.Key()] = o
		}
	}
	return found
}

func restarts(o Object) bool { return o.GetAnnotations()[AnnotationRestartOnChange] == "true" }

// sealRestart adds the digests of the ConfigMaps and Secrets that a workload's pods name to its pod template, if it
// asks for that, and seals it again.
func (o *Object) sealRestart(key []byte, decrypted Kinds, nameable map[Key]*Object) error {
	if len(nameable) == 0 || !restarts(*o) {
		return nil
	}
	pod, _, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "template", "spec")
	names := map[string]bool{}
	named(pod, names)
	var digests, otherwise []string
	for name := range names {
		kind, name, _ := strings.Cut(name, "/")
		if other := nameable[Key{Kind: kind, Namespace: o.GetNamespace(), Name: name}]; other != nil {
			digests = append(digests, kind+"/"+name+" "+other.Digest)
			otherwise = append(otherwise, kind+"/"+name+" "+cmp.Or(other.otherwise, other.Digest))
		}
	}
	if len(digests) == 0 {
		return nil
	}
	unrestarted := &Object{Unstructured: o.DeepCopy(), Origin: o.Origin, Yields: o.Yields}
	if err := unrestarted.restartFor(otherwise); err != nil {
		return err
	}
	if err := o.restartFor(digests); err != nil {
		return err
	}
	o.unrestarted = unrestarted
	return errors.Join(unrestarted.seal(key, decrypted), o.seal(key, decrypted))
}

func (o *Object) restartFor(digests []string) error {
	slices.Sort(digests)
	err := unstructured.SetNestedField(o.Object, Digest(strings.Join(digests, "\n")), "spec", "template", "metadata", "annotations", AnnotationRestartedFor)
	if err != nil {
		return fmt.Errorf("%s: %s cannot be restarted on change: %w", o.Origin, o.Key(), err)
	}
	return nil
}

// references are the fields of a pod that name ConfigMaps and Secrets, each with the field in it that holds the name.
var references = map[string]struct{ kind, name string }{
	"configMapKeyRef": {"ConfigMap", "name"},
	"configMapRef":    {"ConfigMap", "name"},
	"configMap":       {"ConfigMap", "name"},
	"secretKeyRef":    {"Secret", "name"},
	"secretRef":       {"Secret", "name"},
}

// named notes, as kind/name, the ConfigMaps and Secrets that a part of a pod names.
func named(part any, names map[string]bool) {
	switch part := part.(type) {
	case []any:
		for _, item := range part {
			named(item, names)
		}
	case map[string]any:
		for field, value := range part {
			if reference, ok := references[field]; ok {
				note(reference.kind, value, reference.name, names)
			}
			if field == "secret" { // of a volume, or of a part of a projected one
				note("Secret", value, "secretName", names)
				note("Secret", value, "name", names)
			}
			named(value, names)
		}
	}
}

func note(kind string, reference any, field string, names map[string]bool) {
	if fields, ok := reference.(map[string]any); ok {
		if name, ok := fields[field].(string); ok {
			names[kind+"/"+name] = true
		}
	}
}
