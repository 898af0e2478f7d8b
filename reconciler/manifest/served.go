package manifest

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ServedIn returns the groups and versions in which a cluster serves kinds of this name, for messages about a wrong
// one: "apps/v1", or "autoscaling/v1 or autoscaling/v2"; empty if none.
func ServedIn(mapper meta.RESTMapper, kind string) string {
	plural, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: kind})
	found, err := mapper.KindsFor(schema.GroupVersionResource{Resource: plural.Resource})
	if err != nil {
		return "" // no version would help
	}
	var versions []string
	for _, gvk := range found {
		if gvk.Kind == kind {
			versions = append(versions, gvk.GroupVersion().String())
		}
	}
	slices.Sort(versions)
	return strings.Join(slices.Compact(versions), " or ")
}
