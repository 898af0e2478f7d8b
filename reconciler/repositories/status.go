package repositories

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/source"
)

// statusOf returns the status of a Repository. A poll that finds nothing new does not change it.
func statusOf(repo *v1alpha1.Repository, f *followed, c branches.Changes) v1alpha1.RepositoryStatus {
	status := *repo.Status.DeepCopy()
	status.ObservedGeneration, status.Agent = repo.Generation, f.elsewhere.Agent
	status.HandledRequest = cmp.Or(f.request, status.HandledRequest)
	status.HandledConfirmation = cmp.Or(f.confirmation, status.HandledConfirmation)
	if c.Judged {
		status.Held, status.Confirmed = c.Held, c.Confirmed
	}
	if !f.changed.IsZero() {
		status.LastChangeTime = &metav1.Time{Time: f.changed.Truncate(1e9)}
	}
	if !f.told.IsZero() {
		status.LastHookTime = &metav1.Time{Time: f.told.Truncate(1e9)}
	}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWatching, ObservedGeneration: repo.Generation}
	stalled := false
	switch {
	case repo.Spec.Suspend:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, v1alpha1.ReasonSuspended, "the branches are not listed while spec.suspend is true"
	case f.trouble != nil:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, reasonOf(f.trouble), f.trouble.Error()
		stalled = ready.Reason != v1alpha1.ReasonUnreachable
	case len(c.Notes)+len(c.Doubts) > 0:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalid, strings.Join(slices.Concat(c.Doubts, c.Notes), "; ")
		stalled = true
		if len(c.Doubts) > 0 {
			ready.Reason = v1alpha1.ReasonWaiting
		}
	default:
		ready.Message = strings.Join(slices.Concat([]string{following(repo, f)}, c.Warnings), "; ")
	}
	conditions := []metav1.Condition{ready}
	if c := f.leftOut.Condition(repo); c != nil && !repo.Spec.Suspend {
		conditions = append(conditions, *c)
	}
	conditions = append(conditions, f.clusters...)
	if stalled {
		conditions = append(conditions, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message, ObservedGeneration: repo.Generation})
	}
	status.Conditions = conditions
	return status
}

// reasonOf maps an error of a Git server to a condition's reason.
func reasonOf(err error) string {
	if _, doubtful := errors.AsType[*errDoubtful](err); doubtful {
		return v1alpha1.ReasonDoubtful
	}
	trouble, ok := errors.AsType[*source.Error](err)
	switch {
	case !ok:
		return v1alpha1.ReasonInvalid
	case slices.Contains([]source.Reason{source.NotFound, source.NotGit, source.Unsupported, source.Invalid, source.Refused}, trouble.Reason):
		return v1alpha1.ReasonInvalid
	case trouble.Reason == source.Unauthorized:
		return v1alpha1.ReasonUnauthorized
	case trouble.Reason == source.TooLarge, trouble.Reason == source.Full:
		return v1alpha1.ReasonTooLarge
	case trouble.Reason == source.Empty:
		return v1alpha1.ReasonEmpty
	}
	return v1alpha1.ReasonUnreachable
}
