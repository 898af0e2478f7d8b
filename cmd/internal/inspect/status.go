package inspect

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

// Ready returns the condition Ready, or a zero condition if the agent has not written one yet.
func Ready(conditions []metav1.Condition) metav1.Condition {
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// StatusOf returns the reason of Ready, and whether the environment is pinned or its branch gone. It joins them as
// kubectl joins a node's status.
func StatusOf(env *v1alpha1.Environment) string {
	status := Ready(env.Status.Conditions).Reason
	if env.Spec.Pin != "" {
		status += ",Pinned"
	}
	if meta.IsStatusConditionTrue(env.Status.Conditions, v1alpha1.ConditionBranchGone) {
		status += "," + v1alpha1.ConditionBranchGone
	}
	return strings.TrimPrefix(status, ",")
}

// Target returns the commit that should run: the pin, or the head of the branch.
func Target(env *v1alpha1.Environment) string {
	if env.Spec.Pin != "" {
		return env.Spec.Pin
	}
	return env.Spec.Commit
}

// Blocked returns the names of the objects whose deletion waits for a confirmation, and how many more there are.
func Blocked(b *v1alpha1.BlockedDeletions) []string {
	if b == nil {
		return nil
	}
	if more := int(b.Total) - len(b.Objects); more > 0 {
		return append(slices.Clone(b.Objects), fmt.Sprintf("and %d more", more))
	}
	return b.Objects
}
