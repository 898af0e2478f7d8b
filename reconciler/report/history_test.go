package report

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// TestHistory reports outcomes of the commits a, b and c, and checks the history afterwards, the newest first.
func TestHistory(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(*story)
		want string
	}{
		{"what is on its way has no place in it", func(s *story) {
			s.begins("a")
			s.reports(plan.Going)
			s.reports(plan.Waiting)
		}, ""},
		{"a sync takes as long as it takes, be it short", func(s *story) {
			s.begins("a").after(430 * time.Millisecond)
			s.reports(plan.Settled)
			s.begins("b").after(3*time.Minute + 300*time.Millisecond)
			s.reports(plan.Settled)
			s.begins("c")
			s.reports(plan.Settled)
		}, "c Healthy 10ms, b Healthy 3m0s, a Healthy 430ms"},
		{"it is recorded once; later disturbances do not change it", func(s *story) {
			s.begins("a")
			s.reports(plan.Settled)
			s.after(time.Hour)
			s.reports(plan.Degraded)
			s.reports(plan.Settled)
		}, "a Healthy 10ms"},
		{"one that failed and then came right has ended well", func(s *story) {
			s.begins("a").after(5 * time.Minute)
			s.reports(plan.Failed)
			s.after(time.Minute)
			s.reports(plan.Settled)
		}, "a Healthy 6m0s"},
		{"a newer commit replaced it", func(s *story) {
			s.begins("a").after(2 * time.Second)
			s.reports(plan.Going)
			s.begins("b").after(time.Second)
			s.reports(plan.Going)
			s.reports(plan.Going)
			s.after(time.Second)
			s.reports(plan.Settled)
		}, "b Healthy 2s, a Superseded 2s: commit b replaced it"},
		{"it is said even if the newer one is healthy at once", func(s *story) {
			s.begins("a").after(2 * time.Second)
			s.begins("b")
			s.reports(plan.Settled)
			s.reports(plan.Settled)
		}, "b Healthy 10ms, a Superseded 2s: commit b replaced it"},
		{"what had failed was not superseded", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Failed)
			s.begins("b").after(time.Second)
			s.reports(plan.Going)
			s.reports(plan.Settled)
		}, "b Healthy 1s, a Failed 1s"},
		{"a revert is a sync of its own, also of what was superseded", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.begins("b").after(time.Second)
			s.reports(plan.Going)
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
		}, "a Healthy 1s, b Superseded 1s: commit a replaced it, a Healthy 1s"},
		{"a newer commit of the same input is the one that is healthy", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Going)
			s.commit = "b"
			s.after(time.Second)
			s.reports(plan.Settled)
		}, "b Healthy 2s"},
		{"a commit that changes nothing is no sync", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.after(time.Hour)
			s.commit = "b"
			s.reports(plan.Settled)
		}, "a Healthy 1s"},
		{"what was refused was followed by what already ran", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.after(time.Hour)
			s.commit = "b"
			s.rejects("k8s/api.yaml:1 is wrong")
			s.rejects("k8s/api.yaml:1 is wrong")
			s.after(time.Hour)
			s.commit = "c"
			s.reports(plan.Settled)
			s.commit = "d"
			s.reports(plan.Settled)
		}, "c Healthy 0s, b Failed 0s: k8s/api.yaml:1 is wrong, a Healthy 1s"},
		{"a rollback comes after the failure that made it necessary", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.begins("b").after(time.Second)
			s.reports(plan.Failed)
			s.begins("a").after(time.Second)
			s.commit, s.rolledBack = "b", true
			s.reports(plan.Settled)
			s.reports(plan.Settled)
		}, "a RolledBack 1s, b Failed 1s, a Healthy 1s"},
		{"the duration of a sync that began before the Environment, such as a re-created one, is unknown", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.after(2 * time.Hour)
			s.env = v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Time{Time: s.now}}}
			s.after(time.Second)
			s.reports(plan.Settled)
			s.begins("b").after(time.Second)
			s.reports(plan.Settled)
		}, "b Healthy 1s, a Healthy 0s"},
		{"a suspended environment has none", func(s *story) {
			s.begins("a")
			s.suspended = true
			s.reports(plan.Settled)
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &story{now: time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)}
			test.tell(s)
			var lines []string
			for _, e := range s.env.Status.History {
				line := strings.TrimSuffix(e.Commit+" "+e.Outcome+" "+e.Took.Duration.String()+": "+e.Reason, ": ")
				lines = append(lines, line)
			}
			if got := strings.Join(lines, ", "); got != test.want {
				t.Errorf("the history is\n%s\n\nand should be\n%s", got, test.want)
			}
		})
	}
}

func TestHistoryIsShort(t *testing.T) {
	s := &story{now: time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)}
	for _, commit := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		s.begins(commit).after(time.Second)
		s.reports(plan.Going)
	}
	if n := len(s.env.Status.History); n != maxHistory || s.env.Status.History[0].Commit != "y" {
		t.Errorf("it has %d syncs, the newest %+v", n, s.env.Status.History[0])
	}
}

// story is what a plan knows about the attempts at an environment, and what was reported about them.
type story struct {
	now                   time.Time
	sync                  plan.Sync
	commit                string
	rolledBack, suspended bool
	// applied says that everything of the commit is written; what settles always is.
	applied           bool
	fetched, rendered time.Duration
	env               v1alpha1.Environment
}

func (s *story) after(d time.Duration) { s.now = s.now.Add(d) }

// begins does what a plan does with another input.
func (s *story) begins(commit string) *story {
	begun := plan.Sync{Commit: commit, Started: s.now}
	if !s.sync.Settled {
		begun.Superseded = plan.Superseded{Commit: s.sync.Commit, Started: s.sync.Started}
	}
	s.sync, s.commit = begun, commit
	return s
}

func (s *story) reports(state plan.State) {
	s.sync.Settled = s.sync.Settled || state == plan.Settled
	j := reconciler.Judged{State: state, Commit: s.commit, Sync: s.sync, Rendered: s.rendered}
	if s.applied || state == plan.Settled {
		j.AppliedCommit = s.commit
	}
	if state == plan.Settled {
		j.HealthyCommit = s.commit
	}
	if s.rolledBack {
		j.CommitState = reconciler.RolledBack
	}
	s.env.Spec.Suspend = s.suspended
	s.judged(j)
}

func (s *story) judged(j reconciler.Judged) {
	past := history(&s.env, j, s.now)
	a := attempt{Judged: j, fetched: s.fetched}
	a.by, s.env.Status.LastAct = requester(&s.env, j)
	sync := progress(&s.env, past, a, s.now)
	past = a.credit(s.env.Status, past, sync)
	s.env.Status.Sync, s.env.Status.History = sync, past
}

func (s *story) rejects(why string) {
	s.judged(reconciler.Judged{State: plan.Failed, CommitState: reconciler.Rejected, Message: why, Commit: s.commit, Sync: s.sync})
}

// renders reports that the commit is still being rendered, since some time.
func (s *story) renders(commit string, since time.Duration) {
	s.commit = commit
	s.judged(reconciler.Judged{State: plan.Going, CommitState: reconciler.Rendering, Commit: commit, RenderingSince: s.now.Add(-since), Sync: s.sync})
}

// While a newer commit waits for its images, what runs may become healthy. Nothing else would record that.
func TestWhatBecomesHealthyDuringAWaitIsInTheHistory(t *testing.T) {
	began := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	now := began.Add(time.Minute)
	env := &v1alpha1.Environment{}
	env.CreationTimestamp = metav1.NewTime(began)
	j := reconciler.Judged{
		Commit: "b", CommitState: reconciler.Awaiting, State: plan.Waiting, HealthyCommit: "a",
		Sync: plan.Sync{Commit: "a", Started: began, Settled: true},
	}
	env.Status.History = history(env, j, now)
	if len(env.Status.History) != 1 || env.Status.History[0].Commit != "a" || env.Status.History[0].Outcome != healthy || env.Status.History[0].Took.Duration != time.Minute {
		t.Fatalf("the history is %+v", env.Status.History)
	}
	if again := history(env, j, now.Add(time.Minute)); len(again) != 1 {
		t.Errorf("it is recorded again: %+v", again)
	}
	j.CommitState, j.State = reconciler.Rejected, plan.Failed
	env.Status.History = history(env, j, now.Add(time.Minute))
	j.CommitState, j.State = reconciler.Awaiting, plan.Waiting
	if again := history(env, j, now.Add(2*time.Minute)); len(again) != 2 {
		t.Errorf("after a failed wait, it is recorded again: %+v", again)
	}
}
