package report

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// maxNote is the length of an event that the API server takes.
const maxNote = 1024

// event is what an event says.
type event struct{ kind, reason, action, note string }

// say writes an event about an object; related (nil: none) keeps those about several others apart.
func (r *Reporter) say(about, related runtime.Object, e event) {
	r.Recorder.Eventf(about, related, e.kind, e.reason, e.action, "%s", clip(orNone(e.note), maxNote))
}

// tell writes an event when the reason of Ready changed, or another commit is spoken of.
func (r *Reporter) tell(before, env *v1alpha1.Environment) {
	was, is := ready(before.Status.Conditions), ready(env.Status.Conditions)
	if is.Reason != was.Reason || before.Status.ShortCommit != env.Status.ShortCommit {
		r.say(env, nil, event{eventType(is), is.Reason, "Sync", env.Status.ShortCommit + ": " + orNone(is.Message)})
	}
	for _, warning := range []string{v1alpha1.ConditionExpiresSoon, v1alpha1.ConditionMoved, v1alpha1.ConditionBranchGone} {
		now := meta.FindStatusCondition(env.Status.Conditions, warning)
		if now != nil && meta.FindStatusCondition(before.Status.Conditions, warning) == nil {
			r.say(env, nil, event{corev1.EventTypeWarning, warning, "Live", now.Message})
		}
	}
}

// logEnd writes a line when a sync has come to an end, well or not, and none for what was told before.
func (r *Reporter) logEnd(before, env *v1alpha1.Environment) {
	if len(env.Status.History) == 0 {
		return
	}
	end := env.Status.History[0]
	if past := before.Status.History; len(past) > 0 && past[0].Commit == end.Commit && past[0].Outcome == end.Outcome {
		return
	}
	r.Log.Info("the sync has ended", "environment", env.Name, "commit", end.Commit, "outcome", end.Outcome, "took", end.Took.Duration, "reason", end.Reason)
}

// tellLoss warns that what only the record knew is gone.
func (r *Reporter) tellLoss(env *v1alpha1.Environment, s Standing) {
	if j, ok := s.judged(); ok && j.RecordLost {
		r.say(env, nil, event{corev1.EventTypeWarning, "RecordLost", "Sync",
			"the record of what was applied (a Secret of the type berth.dev/record in this namespace) is gone or unreadable; everything was applied once more, and a Job that had run and is not in the cluster any more runs again"})
	}
}

// tellCorrections writes an event for every object that others had changed and that was put back.
func (r *Reporter) tellCorrections(env *v1alpha1.Environment, o reconciler.Outcome) {
	for _, result := range o.Results {
		if result.Reverted() {
			// Events with the same related object are counted as one, with the text of the first. The version that was
			// found is part of the reference, so that every edit of every object has an event of its own.
			key := result.Step.Key
			related := &corev1.ObjectReference{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}
			if result.Step.Live != nil {
				related.ResourceVersion = result.Step.Live.ResourceVersion
			}
			if result.Step.Object != nil {
				related.APIVersion = result.Step.Object.GetAPIVersion()
			}
			r.say(env, related, event{corev1.EventTypeNormal, "Corrected", "Correct", fmt.Sprintf("%s %s; it is again as Git says", key, result.Step.Reason)})
		}
	}
}

// tellFights warns of objects that others have begun to change as often as they are corrected.
func (r *Reporter) tellFights(env *v1alpha1.Environment, s Standing) {
	j, ok := s.judged()
	if !ok || j.Fights == 0 || j.Objects == nil {
		return
	}
	for _, p := range j.Objects.Unhealthy {
		if p.Beside {
			related := &corev1.ObjectReference{Kind: p.Key.Kind, Namespace: p.Key.Namespace, Name: p.Key.Name}
			r.say(env, related, event{corev1.EventTypeWarning, "Fight", "Correct", p.Key.Short() + " " + p.Health.Message})
		}
	}
}

// tellSkipped warns of Jobs that should have run before the environment went, and could not.
func (r *Reporter) tellSkipped(env *v1alpha1.Environment, s Standing) {
	t, _ := s.tornDown()
	for _, warning := range t.Warnings {
		r.say(env, nil, event{corev1.EventTypeWarning, "JobSkipped", "Delete", warning})
	}
}

// tellRemoval warns of a Job that did not succeed and that the removal waits for.
func (r *Reporter) tellRemoval(before, env *v1alpha1.Environment, s Standing) {
	was, is := ready(before.Status.Conditions), ready(env.Status.Conditions)
	if t, ok := s.tornDown(); ok && t.State == plan.Failed && is.Message != was.Message {
		r.say(env, nil, event{corev1.EventTypeWarning, "RemovalWaits", "Delete", is.Message})
	}
}

func (r *Reporter) tellRepository(before, repo *v1alpha1.Repository) {
	was, is := ready(before.Status.Conditions), ready(repo.Status.Conditions)
	kind := eventType(is)
	if is.Reason == v1alpha1.ReasonWaiting {
		kind = corev1.EventTypeWarning // for a person, and for nobody else
	}
	if is.Reason != was.Reason || is.Status == metav1.ConditionFalse && is.Message != was.Message {
		r.say(repo, nil, event{kind, is.Reason, "List", is.Message})
	}
	now := meta.FindStatusCondition(repo.Status.Conditions, v1alpha1.ConditionBranchesLeftOut)
	then := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionBranchesLeftOut)
	if now != nil && (then == nil || then.Message != now.Message) {
		r.say(repo, nil, event{corev1.EventTypeWarning, now.Type, "List", now.Message})
	}
}

// HookMissed warns that polling found a change which no webhook told of, though webhooks told of others.
func (r *Reporter) HookMissed(repo *v1alpha1.Repository, change string) {
	r.say(repo, nil, event{corev1.EventTypeWarning, "HookMissed", "Poll", fmt.Sprintf(
		"polling found that %s, and no webhook told of it; look at what the Git server says of its last deliveries (GitLab stops those that fail, and sends none for a push of more than three branches and tags); until one arrives again, changes wait for spec.poll", change)})
}

func ready(conditions []metav1.Condition) metav1.Condition {
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// eventType makes a warning of what somebody has to look at.
func eventType(c metav1.Condition) string {
	switch c.Reason {
	case v1alpha1.ReasonFailed, v1alpha1.ReasonRolledBack, v1alpha1.ReasonDegraded, v1alpha1.ReasonUnauthorized, v1alpha1.ReasonUnreachable, v1alpha1.ReasonInvalid, v1alpha1.ReasonEmpty, v1alpha1.ReasonDoubtful, v1alpha1.ReasonTooLarge:
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}

func orNone(message string) string {
	if message == "" {
		return "nothing to add"
	}
	return message
}
