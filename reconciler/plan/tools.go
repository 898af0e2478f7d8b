package plan

import (
	"fmt"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Claimed says why an object of the cluster may not become what Git says: another tool manages it. It is empty if it may.
// Two tools that write the same object would fight without end.
func Claimed(l observed.Object, wanted *manifest.Object) string {
	if l.Tool == "" || l.Environment != "" || wanted.GetAnnotations()[manifest.AnnotationAdopt] == "true" {
		return ""
	}
	return fmt.Sprintf("belongs to %s; take it out of there without deleting it and set the annotation %s: \"true\" in Git, or rename the one in Git",
		l.Tool, manifest.AnnotationAdopt)
}
