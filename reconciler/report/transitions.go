package report

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
)

// Transition is a change of an Environment that is worth reporting, by an event or a log line.
type Transition struct {
	Change Change
	// Reason is the reason of Ready, or the type of the condition that appeared.
	Reason  string
	Message string
	// Commit is the shortened commit that the status is about.
	Commit string
	// Sync is the sync that ended; zero for other changes.
	Sync v1alpha1.SyncStatus
}

// Change is what a Transition is about.
type Change string

// The changes.
const (
	// ReadyChanged says that Ready has another reason, or is about another commit.
	ReadyChanged Change = "ready"
	// Warned says that a condition appeared that users have to know of before it is too late.
	Warned Change = "warned"
	// RemovalWaits says that the deletion of the environment waits for a failed Job.
	RemovalWaits Change = "removal waits"
	// SyncEnded says that a sync ended, successfully or not.
	SyncEnded Change = "sync ended"
)

// notices are the conditions that users have to know of before it is too late.
var notices = []string{v1alpha1.ConditionExpiresSoon, v1alpha1.ConditionMoved, v1alpha1.ConditionBranchGone}

// Transitions returns what changed between two statuses of an Environment. It omits what was already reported: a
// changed message with the same reason, and a sync that ends again with the same outcome.
func Transitions(before, after v1alpha1.EnvironmentStatus) []Transition {
	var list []Transition
	was, is := ready(before.Conditions), ready(after.Conditions)
	if is.Reason != was.Reason || before.ShortCommit != after.ShortCommit {
		list = append(list, Transition{Change: ReadyChanged, Reason: is.Reason, Message: is.Message, Commit: after.ShortCommit})
	}
	for _, warning := range notices {
		now := meta.FindStatusCondition(after.Conditions, warning)
		if now != nil && meta.FindStatusCondition(before.Conditions, warning) == nil {
			list = append(list, Transition{Change: Warned, Reason: warning, Message: now.Message, Commit: after.ShortCommit})
		}
	}
	if removalStalls(after) && is.Message != was.Message {
		list = append(list, Transition{Change: RemovalWaits, Reason: is.Reason, Message: is.Message, Commit: after.ShortCommit})
	}
	if end, ok := endedSync(before.History, after.History); ok {
		list = append(list, Transition{Change: SyncEnded, Reason: is.Reason, Message: end.Reason, Commit: after.ShortCommit, Sync: end})
	}
	return list
}

// removalStalls reports whether the removal of what an environment runs needs help.
func removalStalls(s v1alpha1.EnvironmentStatus) bool {
	reason := ready(s.Conditions).Reason
	return (reason == v1alpha1.ReasonDeleting || reason == v1alpha1.ReasonExpiring) && meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionStalled)
}

// endedSync returns the newest sync that ended, unless it was already there with the same outcome.
func endedSync(before, after []v1alpha1.SyncStatus) (v1alpha1.SyncStatus, bool) {
	if len(after) == 0 || len(before) > 0 && before[0].Commit == after[0].Commit && before[0].Outcome == after[0].Outcome {
		return v1alpha1.SyncStatus{}, false
	}
	return after[0], true
}

// event returns the event of a transition; false if it has none.
func (t Transition) event() (event, bool) {
	switch t.Change {
	case ReadyChanged:
		return event{kind: eventType(t.Reason), reason: t.Reason, action: "Sync", note: t.Commit + ": " + orNone(t.Message)}, true
	case Warned:
		return event{kind: corev1.EventTypeWarning, reason: t.Reason, action: "Live", note: t.Message}, true
	case RemovalWaits:
		return event{kind: corev1.EventTypeWarning, reason: "RemovalWaits", action: "Delete", note: t.Message}, true
	}
	return event{}, false
}
