package reconciler

import (
	"berth.dev/berth/reconciler/manifest"
)

// masked replaces a value that must not be shown.
const masked = "•••"

// mask hides the values of all Secrets in Git in a text, and those of all other objects that may hold decrypted values.
func (d desired) mask(text string) string {
	var values []string
	for _, o := range d.set.Objects {
		if d.decrypted.MayHoldSecrets(o.Key().GroupKind()) {
			values = append(values, manifest.Values(o.Unstructured)...)
		}
	}
	return manifest.Hide(text, values, masked)
}
