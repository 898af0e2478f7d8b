package manifest

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// restartsFor returns the digests of the ConfigMaps and Secrets of the set that the pods of a workload
// name, as one; empty if it names none of them or does not ask to be restarted for them.
func (s Set) restartsFor(o Object) string {
	if o.GetAnnotations()[AnnotationRestartOnChange] != "true" {
		return ""
	}
	pod, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec")
	names := map[string]bool{}
	named(pod, names)
	var digests []string
	for _, other := range s.Objects {
		if other.GetAPIVersion() == "v1" && other.GetNamespace() == o.GetNamespace() && names[other.GetKind()+"/"+other.GetName()] {
			digests = append(digests, other.GetKind()+"/"+other.GetName()+" "+other.Digest)
		}
	}
	if len(digests) == 0 {
		return ""
	}
	slices.Sort(digests)
	return Digest(strings.Join(digests, "\n"))
}

// references are the fields of a pod by which it names ConfigMaps and Secrets, and the field of these that
// holds the name.
var references = map[string]struct{ kind, name string }{
	"configMapKeyRef": {"ConfigMap", "name"},
	"configMapRef":    {"ConfigMap", "name"},
	"configMap":       {"ConfigMap", "name"},
	"secretKeyRef":    {"Secret", "name"},
	"secretRef":       {"Secret", "name"},
}

// named notes as kind/name what a part of a pod names.
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
