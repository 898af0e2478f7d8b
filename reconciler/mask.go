package reconciler

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
)

// masked stands in place of a value that is nobody's to see.
const masked = "•••"

// mask takes out of a text the values of all Secrets that Git says, and of what else may hold decrypted ones.
func (d desired) mask(text string) string {
	var values []string
	for _, o := range d.set.Objects {
		if d.confides(o.Key().GroupKind()) {
			values = append(values, manifest.Values(o.Unstructured)...)
		}
	}
	return manifest.Hide(text, values, masked)
}

// confides says whether objects of a kind may hold what was decrypted.
func (d desired) confides(kind schema.GroupKind) bool {
	return kind == schema.GroupKind{Kind: "Secret"} || slices.Contains(d.decrypted, kind.Kind) || slices.Contains(d.decrypted, kind.Kind+"."+kind.Group)
}
