package health

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// terminating says what an object that is being deleted waits for: its finalizers or, for a namespace that came with
// its status, what the namespace controller could not remove.
func terminating(obj *unstructured.Unstructured) string {
	if obj.GetKind() == "Namespace" {
		if held := namespaceHeld(obj); held != "" {
			return "is being deleted: " + held
		}
	}
	finalizers := slices.Clone(obj.GetFinalizers())
	if len(finalizers) == 0 {
		return "is being deleted"
	}
	slices.Sort(finalizers)
	return oneLine("is being deleted, waits for " + strings.Join(finalizers, ", "))
}

// namespaceHeld returns the namespace controller's own words, the most telling first.
func namespaceHeld(obj *unstructured.Unstructured) string {
	v, err := read[none, conditioned](obj)
	if err != nil {
		return ""
	}
	for _, name := range []string{
		"NamespaceFinalizersRemaining",
		"NamespaceDeletionDiscoveryFailure",
		"NamespaceDeletionGroupVersionParsingFailure",
		"NamespaceDeletionContentFailure",
		"NamespaceContentRemaining",
	} {
		if c := v.Status.Conditions.get(name); c.Status == "True" {
			return oneLine(c.Message)
		}
	}
	return ""
}
