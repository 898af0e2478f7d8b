package branches

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
)

// The functions below read the state of an Environment from its status and metadata.

// IsReason reports whether the last reported reason of an Environment's Ready condition is this one.
func IsReason(env *v1alpha1.Environment, reason string) bool {
	ready := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == reason
}

// Pending reports whether an annotation holds a request that has not been handled yet.
func Pending(env *v1alpha1.Environment, annotation, handled string) bool {
	id := env.Annotations[annotation]
	return id != "" && id != handled
}

// LeaveBehind asks a user whether to delete an Environment although its cluster cannot be reached, for the message of its condition
// Ready.
func LeaveBehind(env *v1alpha1.Environment) string {
	return fmt.Sprintf("if the cluster is gone for good, delete the Environment without it: berth confirm %s (for all in that cluster: berth confirm --cluster %s)",
		env.Name, env.Spec.Cluster)
}

// Asks reports whether the condition Ready of an Environment asks a user for something.
func Asks(env *v1alpha1.Environment, ask string) bool {
	ready := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && strings.Contains(ready.Message, ask)
}

// ConfirmedBy reports whether a user confirmed the deletion of this Environment by itself.
func ConfirmedBy(env *v1alpha1.Environment) bool {
	return Pending(env, v1alpha1.AnnotationConfirmed, env.Status.HandledConfirmation)
}

// IsLeaving reports whether an Environment is being deleted, with a teardown.
func IsLeaving(env *v1alpha1.Environment) bool {
	return !env.DeletionTimestamp.IsZero() && slices.Contains(env.Finalizers, v1alpha1.FinalizerTeardown)
}

// Begun reports whether the teardown of an Environment has started, perhaps by an agent that ran before this one. A
// teardown that has started is always finished.
func Begun(env *v1alpha1.Environment) bool { return IsReason(env, v1alpha1.ReasonDeleting) }

// stuckAfter is how long a teardown counts for the deletion guard. A teardown that takes longer must not block others.
const stuckAfter = 10 * time.Minute

// stuck reports whether the teardown of an Environment takes longer than stuckAfter.
func stuck(env *v1alpha1.Environment, now time.Time) bool {
	return IsLeaving(env) && Begun(env) && now.Sub(env.DeletionTimestamp.Time) > stuckAfter
}

// Stands reports whether an Environment has anything to lose. An expired one has nothing, and neither has one that waits in
// the queue for its first sync.
func Stands(env *v1alpha1.Environment) bool {
	queued := IsReason(env, v1alpha1.ReasonQueued) && env.Status.AppliedCommit == ""
	return !queued && !IsReason(env, v1alpha1.ReasonExpired)
}
