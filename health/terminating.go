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

// terminating says what an object that is being deleted waits for: its finalizers or, for a namespace that came with
// its status, what the namespace controller could not remove.
func terminating(obj *unstructured.Unstructured) string {
	kind := obj.GroupVersionKind().GroupKind()
	if kind == (schema.GroupKind{Kind: "Namespace"}) {
		if held := namespaceHeld(obj); held != "" {
			return "is being deleted: " + held
		}
	}
	return Terminates(kind, obj.GetFinalizers())
}

// Terminates says what an object that is being deleted waits for, as far as its metadata tell.
func Terminates(kind schema.GroupKind, finalizers []string) string {
	var held []string
	foreground := false
	for _, f := range finalizers {
		if f == metav1.FinalizerDeleteDependents { // the garbage collector's, and no sign of trouble
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

// namespaceHeld returns what keeps a namespace from going.
func namespaceHeld(obj *unstructured.Unstructured) string {
	v, err := read[none, corev1.NamespaceStatus](obj)
	if err != nil {
		return ""
	}
	return Remaining(v.Status.Conditions)
}

// Remaining says, by the conditions of a namespace that is being deleted, what keeps it from going, in the namespace
// controller's words and the most telling first. Pods that take their time to end are normal, and not told as a failure.
// It is empty if nothing does.
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
	// inForeground is what the garbage collector holds until its pods have ended.
	inForeground = regexp.MustCompile(metav1.FinalizerDeleteDependents + ` in \d+ resource instances(, )?`)
	// podsStillThere is the failure to find, just after the deletion began, that all pods have ended.
	podsStillThere = regexp.MustCompile(`^Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: \S+ for gvr: /v1, Resource=pods$`)
	// onlyPods is the message for a namespace in which nothing else is left.
	onlyPods = regexp.MustCompile(`^Some resources are remaining: pods\. has (\d+) resource instances$`)
)

// remaining reduces the message of one condition to what is no normal part of a deletion.
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
