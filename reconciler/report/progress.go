package report

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
)

// attempt is a judged attempt.
type attempt struct {
	reconciler.Judged
	// fetched is how long it took to list and fetch its commit; zero: that is not known.
	fetched time.Duration
	// by is what a user did before this pass and after the pass before; nil: nothing.
	by *act
}

// progress returns how far the newest sync is. past is the history after the same pass. The result differs from the one
// before only where the status changes anyway: when a sync begins, when everything is written, and when it has ended.
func progress(env *v1alpha1.Environment, past []v1alpha1.SyncStatus, a attempt, now time.Time) *v1alpha1.SyncProgress {
	before := env.Status.Sync
	switch {
	case env.Spec.Suspend:
		return before
	case a.CommitState == reconciler.Rendering:
		return a.rendering(before)
	case a.CommitState != reconciler.Current && a.CommitState != reconciler.RolledBack:
		return before // another commit was judged than the one that should run
	}
	p := before.DeepCopy()
	if !a.continues(before) {
		known := !a.Sync.Settled || hasNew(env.Status.History, past)
		if !known || rebuilt(env, a.Judged) || older(a.Judged, env.Status.History) {
			return before // it ended before its times were recorded
		}
		p = a.begin(before)
	}
	if p.RequestedBy == nil {
		p.RequestedBy = a.by.confirmed(env)
	}
	if p.Apply.Duration == 0 && a.AppliedCommit != "" {
		p.Apply = between(a.Sync.Started, now)
	}
	if p.Rollout.Duration == 0 && a.HealthyCommit != "" {
		p.Rollout = between(a.Sync.Started.Add(p.Apply.Duration), now)
	}
	return p
}

// rendering returns the progress of a commit that is still being rendered. Once that is known, it does not change.
func (a attempt) rendering(before *v1alpha1.SyncProgress) *v1alpha1.SyncProgress {
	if before != nil && before.Commit == a.Commit {
		return before
	}
	return &v1alpha1.SyncProgress{Commit: a.Commit, StartedAt: *timeOf(a.RenderingSince), Fetch: rounded(a.fetched)}
}

// continues reports whether the attempt is the one whose progress is known. A render that is reported began seconds before.
func (a attempt) continues(before *v1alpha1.SyncProgress) bool {
	return before != nil && before.Commit == a.Sync.Commit && before.StartedAt.Equal(timeOf(a.Sync.Started))
}

// begin returns the progress of a new attempt. A retry keeps the times of the steps that it does not repeat.
func (a attempt) begin(before *v1alpha1.SyncProgress) *v1alpha1.SyncProgress {
	p := &v1alpha1.SyncProgress{Commit: a.Sync.Commit, StartedAt: *timeOf(a.Sync.Started), Fetch: rounded(a.fetched), Render: rounded(a.Rendered), RequestedBy: a.by.began()}
	if before != nil && before.Commit == p.Commit {
		p.Fetch, p.Render = cmp.Or(before.Fetch, p.Fetch), cmp.Or(before.Render, p.Render)
	}
	if a.Commit != p.Commit {
		p.Fetch = metav1.Duration{} // it is that of another commit with the same input
	}
	return p
}

// hasNew reports whether the newest of the past syncs is a new one.
func hasNew(before, after []v1alpha1.SyncStatus) bool {
	return len(after) > 0 && (len(before) == 0 || before[0].Commit != after[0].Commit || !before[0].Time.Equal(&after[0].Time))
}

// rounded returns a duration for users; 0 stays 0.
func rounded(d time.Duration) metav1.Duration {
	if d <= 0 {
		return metav1.Duration{}
	}
	return between(time.Time{}, time.Time{}.Add(d))
}
