package report

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
)

// maxNote is the maximum length of an event that the API server accepts.
const maxNote = 1024

// event is the content of an event. Its related object, if any, keeps events about several objects apart.
type event struct {
	kind, reason, action, note string
	related                    *corev1.ObjectReference
}

// say writes an event about an object.
func (r *Reporter) say(about runtime.Object, e event) {
	var related runtime.Object
	if e.related != nil {
		related = e.related
	}
	r.Recorder.Eventf(about, related, e.kind, e.reason, e.action, "%s", clip(orNone(e.note), maxNote))
}

// tell writes an event for each transition that has one, and a log line when a sync ended.
func (r *Reporter) tell(env *v1alpha1.Environment, transitions []Transition) {
	for _, t := range transitions {
		if e, ok := t.event(); ok {
			r.say(env, e)
		}
		if end := t.Sync; t.Change == SyncEnded {
			r.Metrics.ended(env, end)
			r.Log.Info("the sync has ended", "environment", env.Name, "commit", end.Commit, "outcome", end.Outcome, "took", end.Took.Duration, "reason", end.Reason)
		}
	}
}

// incidents returns the events about what happened in a pass, whatever the status says afterwards.
func incidents(s Standing) []event {
	list := corrections(s.Outcome)
	if j, ok := s.judged(); ok {
		list = append(list, fights(j)...)
		for _, why := range j.Unchecked {
			list = append(list, event{kind: corev1.EventTypeWarning, reason: "ImageUnchecked", action: "Sync", note: why})
		}
		if j.RecordLost {
			list = append(list, event{kind: corev1.EventTypeWarning, reason: "RecordLost", action: "Sync",
				note: "the record of what was applied (a Secret of the type berth.dev/record in this namespace) is gone or unreadable; everything was applied once more, and a Job that had run and is not in the cluster any more runs again"})
		}
	}
	if t, ok := s.tornDown(); ok {
		for _, warning := range t.Warnings {
			list = append(list, event{kind: corev1.EventTypeWarning, reason: "JobSkipped", action: "Delete", note: warning})
		}
	}
	return list
}

// corrections returns the events about objects that other clients changed and that Berth reverted.
func corrections(o reconciler.Outcome) []event {
	var list []event
	for _, result := range o.Results {
		if !result.Reverted() {
			continue
		}
		// Events with the same related object are counted as one, with the text of the first. The reference has the
		// version that was found, so that every edit of every object has its own event.
		key := result.Step.Key
		related := &corev1.ObjectReference{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}
		if result.Step.Live != nil {
			related.ResourceVersion = result.Step.Live.ResourceVersion
		}
		if result.Step.Object != nil {
			related.APIVersion = result.Step.Object.GetAPIVersion()
		}
		list = append(list, event{corev1.EventTypeNormal, "Corrected", "Correct", fmt.Sprintf("%s: %s; it is again as Git says", key, result.Step.Reason), related})
	}
	return list
}

// fights returns the warnings about objects that other clients have begun to change as often as they are corrected.
func fights(j reconciler.Judged) []event {
	if j.Fights == 0 || j.Objects == nil {
		return nil
	}
	var list []event
	for _, p := range j.Objects.Unhealthy {
		if p.Beside {
			related := &corev1.ObjectReference{Kind: p.Key.Kind, Namespace: p.Key.Namespace, Name: p.Key.Name}
			list = append(list, event{corev1.EventTypeWarning, "Fight", "Correct", p.Key.Short() + " " + p.Health.Message, related})
		}
	}
	return list
}

// repositoryEvents returns the events about the changes between two statuses of a Repository.
func repositoryEvents(before, after v1alpha1.RepositoryStatus) []event {
	var list []event
	was, is := ready(before.Conditions), ready(after.Conditions)
	kind := eventType(is.Reason)
	if is.Reason == v1alpha1.ReasonWaiting {
		kind = corev1.EventTypeWarning // a Repository waits only for a user
	}
	if is.Reason != was.Reason || is.Status == metav1.ConditionFalse && is.Message != was.Message {
		list = append(list, event{kind: kind, reason: is.Reason, action: "List", note: is.Message})
	}
	list = append(list, feedbackEvents(before, after)...)
	for _, kind := range []string{v1alpha1.ConditionBranchesLeftOut, v1alpha1.ConditionClusterUnavailable, v1alpha1.ConditionClusterAccessExpires} {
		now, then := meta.FindStatusCondition(after.Conditions, kind), meta.FindStatusCondition(before.Conditions, kind)
		if now != nil && (then == nil || then.Message != now.Message) {
			list = append(list, event{kind: corev1.EventTypeWarning, reason: now.Type, action: "List", note: now.Message})
		}
	}
	return list
}

// HookMissed warns that polling found a change that no webhook announced, though webhooks announced others.
func (r *Reporter) HookMissed(repo *v1alpha1.Repository, change string) {
	r.say(repo, event{kind: corev1.EventTypeWarning, reason: "HookMissed", action: "Poll", note: fmt.Sprintf(
		"polling found that %s, and no webhook announced it; check the recent deliveries on the Git server (GitLab disables webhooks that fail, and sends none for a push of more than three branches and tags); until webhooks arrive again, changes wait for spec.poll", change)})
}

func ready(conditions []metav1.Condition) metav1.Condition {
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// eventType returns the type of an event for a reason of Ready: a warning if a user has to look at it.
func eventType(reason string) string {
	switch reason {
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
