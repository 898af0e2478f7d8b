package plan

import (
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// names finds objects by the references in manifest.AnnotationDependsOn. It maps kind/name to keys.
type names map[string][]manifest.Key

func (n names) add(key manifest.Key) { n[key.Short()] = append(n[key.Short()], key) }

// references returns the references of an annotation.
func references(text string) []string {
	if text == "" {
		return nil
	}
	all := strings.Split(text, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// find returns the objects that a reference may mean, and whether it is a reference. The forms are
// group/namespaces/namespace/Kind/name, group/Kind/name and Kind/name. The short forms find cluster-scoped objects and
// those of the same namespace. The core group is empty.
func (n names) find(from manifest.Key, reference string) (found []manifest.Key, isReference bool) {
	parts := strings.Split(reference, "/")
	var fits func(manifest.Key) bool
	switch {
	case len(parts) == 5 && parts[1] == "namespaces":
		fits = func(k manifest.Key) bool { return k.Group == parts[0] && k.Namespace == parts[2] }
	case len(parts) == 3:
		fits = func(k manifest.Key) bool {
			return k.Group == parts[0] && (k.Namespace == "" || k.Namespace == from.Namespace)
		}
	case len(parts) == 2:
		fits = func(k manifest.Key) bool { return k.Namespace == "" || k.Namespace == from.Namespace }
	default:
		return nil, false
	}
	for _, k := range n[strings.Join(parts[len(parts)-2:], "/")] {
		if fits(k) {
			found = append(found, k)
		}
	}
	return found, true
}
