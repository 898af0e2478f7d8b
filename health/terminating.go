package health

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// terminating returns what blocks the deletion of an object: its finalizers, or what the
// namespace controller could not remove from a namespace.
func terminating(obj *unstructured.Unstructured) string {
	kind := obj.GroupVersionKind().GroupKind()
	if kind == (schema.GroupKind{Kind: "Namespace"}) {
		if held := namespaceHeld(obj); held != "" {
			return "is being deleted: " + held
		}
	}
	return Terminates(kind, obj.GetFinalizers())
}

// Terminates returns what blocks the deletion of an object, as far as its metadata shows.
func Terminates(kind schema.GroupKind, finalizers []string) string {
	var held []string
	foreground := false
	for _, f := range finalizers {
		if f == metav1.FinalizerDeleteDependents { // the garbage collector's, which is normal
			foreground = true
			continue
		}
		held = append(held, f)
	}
	slices.Sort(held)
	switch {
	case len(held) > 0:
		return oneLine("is being deleted; held by the finalizers " + strings.Join(held, ", "))
	case foreground && HasPods(kind):
		return "is being deleted; waits for its pods to end"
	case foreground:
		return "is being deleted; waits for what it owns to be deleted"
	}
	return "is being deleted"
}

// namespaceHeld returns what blocks the deletion of a namespace.
func namespaceHeld(obj *unstructured.Unstructured) string {
	v, err := read[none, corev1.NamespaceStatus](obj)
	if err != nil {
		return ""
	}
	return Remaining(v.Status.Conditions)
}

// Remaining returns what blocks the deletion of a namespace, from its conditions: in the namespace controller's
// words, the most informative first. Pods that are ending are normal, and not reported as a failure. It is empty if
// nothing blocks.
func Remaining(conditions []corev1.NamespaceCondition) string {
	var reasons []string
	for _, kind := range []corev1.NamespaceConditionType{
		corev1.NamespaceFinalizersRemaining, corev1.NamespaceDeletionDiscoveryFailure, corev1.NamespaceDeletionGVParsingFailure,
		corev1.NamespaceDeletionContentFailure, corev1.NamespaceContentRemaining,
	} {
		for _, c := range conditions {
			if c.Type != kind || c.Status != corev1.ConditionTrue {
				continue
			}
			if why := remaining(kind, c.Message); why != "" {
				reasons = append(reasons, oneLine(why))
			}
		}
	}
	return strings.Join(reasons, "; ")
}

var (
	// inForeground matches objects that the garbage collector keeps until their pods have ended.
	inForeground = regexp.MustCompile(metav1.FinalizerDeleteDependents + ` in \d+ resource instances(, )?`)
	// podsStillThere matches the failure, just after the deletion began, because not all pods have ended.
	podsStillThere = regexp.MustCompile(`^Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: \S+ for gvr: /v1, Resource=pods$`)
	// onlyPods matches the message for a namespace in which only pods are left.
	onlyPods = regexp.MustCompile(`^Some resources are remaining: pods\. has (\d+) resource instances$`)
)

// remaining reduces the message of one condition to the part that is not a normal step of a deletion.
func remaining(kind corev1.NamespaceConditionType, message string) string {
	switch kind {
	case corev1.NamespaceFinalizersRemaining:
		head, list, ok := strings.Cut(message, ": ")
		if !ok {
			return message
		}
		if list = strings.TrimSuffix(inForeground.ReplaceAllString(list, ""), ", "); list == "" {
			return ""
		}
		return head + ": " + list
	case corev1.NamespaceDeletionContentFailure:
		if podsStillThere.MatchString(message) {
			return ""
		}
	case corev1.NamespaceContentRemaining:
		if left := onlyPods.FindStringSubmatch(message); left != nil {
			if left[1] == "1" {
				return "waits for 1 pod to end"
			}
			return fmt.Sprintf("waits for %s pods to end", left[1])
		}
	}
	return message
}
