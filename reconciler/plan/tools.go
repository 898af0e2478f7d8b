package plan

import (
	"fmt"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Claimed returns why Berth may not take over an object of the cluster: another tool manages it. It is empty if Berth
// may. Two tools that write the same object would fight forever.
func Claimed(l observed.Object, wanted *manifest.Object) string {
	if l.Tool == "" || l.Environment != "" || wanted.GetAnnotations()[manifest.AnnotationAdopt] == "true" {
		return ""
	}
	return fmt.Sprintf("belongs to %s; stop that tool from managing it, without deleting it, and set the annotation %s: \"true\" in Git, or rename the one in Git",
		l.Tool, manifest.AnnotationAdopt)
}
