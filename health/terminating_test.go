package health

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Pods take their time to end: that is neither a failure nor a finalizer.
func TestRemaining(t *testing.T) {
	const held = "Some content in the namespace has finalizers remaining: "
	type conditions = map[corev1.NamespaceConditionType]string
	for _, test := range []struct {
		name       string
		conditions conditions
		want       string
	}{
		{"nothing is said", nil, ""},
		{"a finalizer comes first", conditions{
			corev1.NamespaceContentRemaining:    "Some resources are remaining: widgets.example.com has 1 resource instances",
			corev1.NamespaceFinalizersRemaining: held + "example.com/stuck in 1 resource instances",
		}, held + "example.com/stuck in 1 resource instances; Some resources are remaining: widgets.example.com has 1 resource instances"},
		{"one pod ends", conditions{
			corev1.NamespaceDeletionContentFailure: "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: posts-f0 for gvr: /v1, Resource=pods",
			corev1.NamespaceContentRemaining:       "Some resources are remaining: pods. has 1 resource instances",
			corev1.NamespaceFinalizersRemaining:    held + "foregroundDeletion in 1 resource instances",
		}, "waits for 1 pod to end"},
		{"several pods end", conditions{corev1.NamespaceContentRemaining: "Some resources are remaining: pods. has 3 resource instances"}, "waits for 3 pods to end"},
		{"another failure is reported", conditions{
			corev1.NamespaceDeletionContentFailure: "Failed to delete all resource types, 2 remaining: [unexpected items still remain in namespace: posts-f0 for gvr: /v1, Resource=pods, conversion webhook for example.com/v1, Kind=Widget failed]",
		}, "Failed to delete all resource types, 2 remaining: [unexpected items still remain in namespace: posts-f0 for gvr: /v1, Resource=pods, conversion webhook for example.com/v1, Kind=Widget failed]"},
		{"and so are other things that remain", conditions{
			corev1.NamespaceDeletionContentFailure: "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: posts-f0 for gvr: example.com/v1, Resource=widgets",
		}, "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: posts-f0 for gvr: example.com/v1, Resource=widgets"},
		{"a finalizer beside the garbage collector's", conditions{
			corev1.NamespaceFinalizersRemaining: held + "foregroundDeletion in 1 resource instances, example.com/stuck in 2 resource instances",
		}, held + "example.com/stuck in 2 resource instances"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var list []corev1.NamespaceCondition
			for kind, message := range test.conditions {
				list = append(list, corev1.NamespaceCondition{Type: kind, Status: corev1.ConditionTrue, Message: message})
			}
			list = append(list, corev1.NamespaceCondition{Type: corev1.NamespaceDeletionDiscoveryFailure, Status: corev1.ConditionFalse, Message: "All resources successfully discovered"})
			if got := Remaining(list); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestTerminates(t *testing.T) {
	deployment, certificate := schema.GroupKind{Group: "apps", Kind: "Deployment"}, schema.GroupKind{Group: "cert-manager.io", Kind: "Certificate"}
	for _, test := range []struct {
		kind       schema.GroupKind
		finalizers []string
		want       string
	}{
		{deployment, nil, "is being deleted"},
		{deployment, []string{"foregroundDeletion"}, "is being deleted; waits for its pods to end"},
		{certificate, []string{"foregroundDeletion"}, "is being deleted; waits for what it owns to be deleted"},
		{deployment, []string{"foregroundDeletion", "example.com/b", "example.com/a"}, "is being deleted; held by the finalizers example.com/a, example.com/b"},
	} {
		if got := Terminates(test.kind, test.finalizers); got != test.want {
			t.Errorf("a %s with %q %s, want %s", test.kind.Kind, test.finalizers, got, test.want)
		}
	}
}
