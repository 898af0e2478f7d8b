package report

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// How a sync may have ended.
const (
	healthy    = "Healthy"
	failed     = "Failed"
	rolledBack = "RolledBack"
	superseded = "Superseded"
)

// skew is how far the agent's clock may be behind that of the API server.
const skew = time.Minute

// history puts the syncs that have ended before the others. One that failed and then came right, without
// another commit, has ended well. Of one that is older than the Environment, which was made anew meanwhile, nobody
// knows how long it took.
func history(env *v1alpha1.Environment, o reconciler.Outcome, now time.Time) []v1alpha1.SyncStatus {
	past := env.Status.History
	if o.Suspended {
		return past
	}
	if entry, ok := supersededBy(past, o); ok {
		past = append([]v1alpha1.SyncStatus{entry}, past...)
	}
	if entry, ok := ended(o, now); ok && !told(past, o, entry) {
		if len(past) > 0 && past[0].Commit == entry.Commit {
			past = past[1:]
		}
		rebuilt := o.Sync.Started.Before(env.CreationTimestamp.Add(-skew))
		if !o.Rejected && !rebuilt && !older(o, past) {
			entry.Took = between(o.Sync.Started, now)
		}
		past = append([]v1alpha1.SyncStatus{entry}, past...)
	}
	return past[:min(maxHistory, len(past))]
}

// ended returns the sync that an outcome ends, if it does.
func ended(o reconciler.Outcome, now time.Time) (v1alpha1.SyncStatus, bool) {
	entry := v1alpha1.SyncStatus{Commit: o.Commit, Time: *timeOf(now)}
	switch {
	case o.State == plan.Settled && o.RolledBack:
		entry.Commit, entry.Outcome, entry.Reason = o.Sync.Commit, rolledBack, clip(o.Message, maxMessage)
	case o.State == plan.Settled:
		entry.Outcome = healthy
	case o.State == plan.Failed:
		entry.Outcome, entry.Reason = failed, clip(o.Message, maxMessage)
	default:
		return entry, false
	}
	return entry, true
}

// told says whether the newest of the past syncs says it already: of the same commit, or of the same attempt
// at an earlier commit, from which the newer one does not differ in anything that counts.
func told(past []v1alpha1.SyncStatus, o reconciler.Outcome, entry v1alpha1.SyncStatus) bool {
	if len(past) == 0 || past[0].Outcome != entry.Outcome {
		return false
	}
	same := !o.Rejected && (past[0].Commit == o.Sync.Commit || older(o, past))
	return same || past[0].Commit == entry.Commit
}

// older says whether the attempt began before the newest of the past syncs ended.
func older(o reconciler.Outcome, past []v1alpha1.SyncStatus) bool {
	return len(past) > 0 && timeOf(o.Sync.Started).Before(&past[0].Time)
}

// supersededBy returns the sync that a newer commit took the place of before it had ended, unless that has
// been told.
func supersededBy(past []v1alpha1.SyncStatus, o reconciler.Outcome) (v1alpha1.SyncStatus, bool) {
	before := o.Sync.Superseded
	isTold := func(s v1alpha1.SyncStatus) bool {
		return s.Commit == before.Commit && !s.Time.Before(timeOf(before.Started))
	}
	if before.Commit == "" || o.RolledBack || older(o, past) || slices.ContainsFunc(past, isTold) {
		return v1alpha1.SyncStatus{}, false
	}
	return v1alpha1.SyncStatus{
		Commit:  before.Commit,
		Outcome: superseded,
		Time:    *timeOf(o.Sync.Started),
		Took:    between(before.Started, o.Sync.Started),
		Reason:  fmt.Sprintf("commit %.8s took its place", o.Sync.Commit),
	}, true
}

// instant is the shortest time that a sync is said to have taken.
const instant = 10 * time.Millisecond

// between is how long a sync took, as precisely as people care.
func between(start, end time.Time) metav1.Duration {
	took := max(end.Sub(start), instant)
	if took < 10*time.Second {
		return metav1.Duration{Duration: took.Round(instant)}
	}
	return metav1.Duration{Duration: took.Round(time.Second)}
}
