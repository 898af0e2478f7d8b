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

// The outcomes of a sync.
const (
	healthy    = "Healthy"
	failed     = "Failed"
	rolledBack = "RolledBack"
	superseded = "Superseded"
)

// skew is how far the agent's clock may be behind the API server's.
const skew = time.Minute

// history prepends the syncs that have ended to the earlier ones. A sync that failed and then became healthy without
// another commit counts as healthy. If the Environment was re-created since the sync began, its duration is unknown.
func history(env *v1alpha1.Environment, j reconciler.Judged, now time.Time) []v1alpha1.SyncStatus {
	past := env.Status.History
	if env.Spec.Suspend {
		return past
	}
	if entry, ok := supersededBy(past, j); ok {
		past = append([]v1alpha1.SyncStatus{entry}, past...)
	}
	if j.CommitState == reconciler.Awaiting && j.HealthyCommit != "" && !older(j, past) {
		// What runs became healthy while a newer commit waits for its images.
		past = append([]v1alpha1.SyncStatus{{Commit: j.Sync.Commit, Outcome: healthy, Time: *timeOf(now), Took: between(j.Sync.Started, now)}}, past...)
	}
	if entry, ok := ended(j, now); ok && !told(past, j, entry) {
		if len(past) > 0 && past[0].Commit == entry.Commit {
			past = past[1:]
		}
		if j.CommitState != reconciler.Rejected && !rebuilt(env, j) && !older(j, past) {
			entry.Took = between(j.Sync.Started, now)
		}
		past = append([]v1alpha1.SyncStatus{entry}, past...)
	}
	return past[:min(maxHistory, len(past))]
}

// rebuilt reports whether the Environment was re-created since the sync began.
func rebuilt(env *v1alpha1.Environment, j reconciler.Judged) bool {
	return j.Sync.Started.Before(env.CreationTimestamp.Add(-skew))
}

// ended returns the sync that ended with an outcome, if one did.
func ended(j reconciler.Judged, now time.Time) (v1alpha1.SyncStatus, bool) {
	entry := v1alpha1.SyncStatus{Commit: j.Commit, Time: *timeOf(now)}
	switch {
	case j.State == plan.Settled && j.CommitState == reconciler.RolledBack:
		entry.Commit, entry.Outcome, entry.Reason = j.Sync.Commit, rolledBack, clip(j.Message, maxMessage)
	case j.State == plan.Settled:
		entry.Outcome = healthy
	case j.State == plan.Failed:
		entry.Outcome, entry.Reason = failed, clip(j.Message, maxMessage)
	default:
		return entry, false
	}
	return entry, true
}

// told reports whether the newest of the past syncs already says the same. It then has the same commit, or belongs to
// the same attempt at an earlier commit that differs in nothing that counts.
func told(past []v1alpha1.SyncStatus, j reconciler.Judged, entry v1alpha1.SyncStatus) bool {
	if len(past) == 0 || past[0].Outcome != entry.Outcome {
		return false
	}
	same := j.CommitState != reconciler.Rejected && (past[0].Commit == j.Sync.Commit || older(j, past))
	return same || past[0].Commit == entry.Commit
}

// older reports whether the attempt began before the newest of the past syncs ended.
func older(j reconciler.Judged, past []v1alpha1.SyncStatus) bool {
	return len(past) > 0 && timeOf(j.Sync.Started).Before(&past[0].Time)
}

// supersededBy returns the sync that a newer commit replaced before it had ended, unless the history already has it.
func supersededBy(past []v1alpha1.SyncStatus, j reconciler.Judged) (v1alpha1.SyncStatus, bool) {
	before := j.Sync.Superseded
	isTold := func(s v1alpha1.SyncStatus) bool {
		return s.Commit == before.Commit && !s.Time.Before(timeOf(before.Started))
	}
	if before.Commit == "" || j.CommitState == reconciler.RolledBack || older(j, past) || slices.ContainsFunc(past, isTold) {
		return v1alpha1.SyncStatus{}, false
	}
	return v1alpha1.SyncStatus{
		Commit:  before.Commit,
		Outcome: superseded,
		Time:    *timeOf(j.Sync.Started),
		Took:    between(before.Started, j.Sync.Started),
		Reason:  fmt.Sprintf("commit %.8s replaced it", j.Sync.Commit),
	}, true
}

// instant is the shortest reported duration of a sync.
const instant = 10 * time.Millisecond

// between returns how long a sync took, rounded for users.
func between(start, end time.Time) metav1.Duration {
	took := max(end.Sub(start), instant)
	if took < 10*time.Second {
		return metav1.Duration{Duration: took.Round(instant)}
	}
	return metav1.Duration{Duration: took.Round(time.Second)}
}
