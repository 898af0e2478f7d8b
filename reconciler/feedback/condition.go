package feedback

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// patience is how many failures in a row of a forge that does not answer are not reported in the condition. A single one
// happens.
const patience = 3

// conditionReasons has the reasons of the condition Feedback.
var conditionReasons = map[forge.Reason]string{
	forge.Unreachable: v1alpha1.ReasonUnreachable, forge.RateLimited: v1alpha1.ReasonRateLimited, forge.Unauthorized: v1alpha1.ReasonUnauthorized,
	forge.Forbidden: v1alpha1.ReasonForbidden, forge.NotFound: v1alpha1.ReasonNotFound, forge.Refused: v1alpha1.ReasonRefused, forge.Invalid: v1alpha1.ReasonInvalid,
}

// judge sets the condition Feedback after some failures in a row, and requeues the Repository if the condition changed.
func (l *line) judge(repo *v1alpha1.Repository, trouble error, failures int) {
	c := &metav1.Condition{Type: v1alpha1.ConditionFeedback, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReported,
		Message: "the forge accepts what is reported", ObservedGeneration: repo.Generation}
	if trouble != nil {
		c.Status, c.Message = metav1.ConditionFalse, trouble.Error()
		switch reason, known := conditionReasons[forge.ReasonOf(trouble)]; {
		case !known, reason == v1alpha1.ReasonUnreachable && failures < patience:
			return
		default:
			c.Reason = reason
		}
	}
	l.mu.Lock()
	before := l.condition
	l.condition = c
	l.mu.Unlock()
	if before == nil || *before != *c {
		l.Requeue(l.repo)
	}
}
