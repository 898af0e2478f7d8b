package report

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/plan"
)

// TestProgress reports syncs of the commits a and b, and checks the times of their steps afterwards.
func TestProgress(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(*story)
		want string
	}{
		{"a step that has not ended has no time", func(s *story) {
			s.fetches(430*time.Millisecond, 120*time.Millisecond)
			s.begins("a")
			s.reports(plan.Going)
		}, "a at 0s: fetch 430ms, render 120ms"},
		{"each step has its time", func(s *story) {
			s.fetches(430*time.Millisecond, 120*time.Millisecond)
			s.begins("a").after(3 * time.Second)
			s.reports(plan.Going)
			s.applied = true
			s.reports(plan.Going)
			s.after(20 * time.Second)
			s.reports(plan.Settled)
		}, "a at 0s: fetch 430ms, render 120ms, apply 3s, rollout 20s"},
		{"even one that took no time to speak of has ended", func(s *story) {
			s.begins("a")
			s.reports(plan.Settled)
		}, "a at 0s: apply 10ms, rollout 10ms"},
		{"what happens later does not change it", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.after(time.Hour)
			s.reports(plan.Degraded)
			s.reports(plan.Settled)
		}, "a at 0s: apply 1s, rollout 10ms"},
		{"a rollout that failed lasts until it is healthy", func(s *story) {
			s.applied = true
			s.begins("a").after(time.Second)
			s.reports(plan.Failed)
			s.after(time.Minute)
			s.reports(plan.Settled)
		}, "a at 0s: apply 1s, rollout 1m0s"},
		{"a newer commit starts over", func(s *story) {
			s.begins("a").after(2 * time.Second)
			s.reports(plan.Settled)
			s.fetches(time.Second, 0)
			s.begins("b").after(time.Second)
			s.reports(plan.Going)
		}, "b at 2s: fetch 1s"},
		{"a slow render is a step that goes on", func(s *story) {
			s.fetches(time.Second, 0)
			s.after(4 * time.Second)
			s.renders("a", 3*time.Second)
		}, "a at 1s: fetch 1s"},
		{"its time is kept until it has ended", func(s *story) {
			s.fetches(time.Second, 4*time.Second)
			s.after(4 * time.Second)
			s.renders("a", 3*time.Second)
			s.fetches(0, 4*time.Second)
			s.after(time.Second)
			s.begins("a")
			s.reports(plan.Going)
		}, "a at 5s: fetch 1s, render 4s"},
		{"a retry repeats neither fetch nor render", func(s *story) {
			s.fetches(time.Second, 2*time.Second)
			s.begins("a").after(time.Second)
			s.reports(plan.Failed)
			s.fetches(0, 0)
			s.after(time.Minute)
			s.sync.Started = s.now
			s.reports(plan.Going)
		}, "a at 1m1s: fetch 1s, render 2s"},
		{"a commit that changes nothing is no sync", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.after(time.Hour)
			s.commit = "b"
			s.reports(plan.Settled)
		}, "a at 0s: apply 1s, rollout 10ms"},
		{"a rejected commit is no sync", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.commit = "b"
			s.rejects("k8s/api.yaml:1 is wrong")
		}, "a at 0s: apply 1s, rollout 10ms"},
		{"a rollback is one", func(s *story) {
			s.fetches(time.Second, 0)
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.begins("b").after(time.Second)
			s.reports(plan.Failed)
			s.begins("a").after(time.Second)
			s.commit, s.rolledBack = "b", true
			s.reports(plan.Settled)
		}, "a at 2s: apply 1s, rollout 10ms"},
		{"a suspended environment keeps what is known", func(s *story) {
			s.begins("a")
			s.reports(plan.Going)
			s.suspended = true
			s.after(time.Hour)
			s.reports(plan.Settled)
		}, "a at 0s:"},
		{"times that were not recorded are not invented", func(s *story) {
			s.begins("a").after(time.Second)
			s.reports(plan.Settled)
			s.env.Status.Sync = nil
			s.after(time.Hour)
			s.reports(plan.Settled)
			s.commit = "b"
			s.rejects("k8s/api.yaml:1 is wrong")
			s.reports(plan.Settled)
		}, "none"},
		{"those of an environment that was re-created are unknown", func(s *story) {
			s.begins("a").after(2 * time.Hour)
			s.env.CreationTimestamp = metav1.Time{Time: s.now}
			s.reports(plan.Settled)
		}, "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &story{now: beginning}
			test.tell(s)
			if got := recounted(s.env.Status.Sync); got != test.want {
				t.Errorf("the progress is\n%s\n\nand should be\n%s", got, test.want)
			}
		})
	}
}

var beginning = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

// fetches sets how long it takes to fetch and to render a commit.
func (s *story) fetches(fetched, rendered time.Duration) { s.fetched, s.rendered = fetched, rendered }

func recounted(p *v1alpha1.SyncProgress) string {
	if p == nil {
		return "none"
	}
	text := fmt.Sprintf("%s at %s:", p.Commit, p.StartedAt.Sub(beginning))
	sep := " "
	for _, step := range []struct {
		name string
		took metav1.Duration
	}{{"fetch", p.Fetch}, {"render", p.Render}, {"apply", p.Apply}, {"rollout", p.Rollout}} {
		if step.took.Duration > 0 {
			text, sep = text+sep+step.name+" "+step.took.Duration.String(), ", "
		}
	}
	return text
}

// Each pass of a long rollout would otherwise write the status.
func TestProgressIsTheSameUntilAStepEnds(t *testing.T) {
	s := &story{now: beginning, rendered: time.Second}
	s.begins("a")
	s.reports(plan.Going)
	before := s.env.Status.Sync.DeepCopy()
	for range 3 {
		s.after(17 * time.Second)
		s.reports(plan.Going)
	}
	if !equality.Semantic.DeepEqual(before, s.env.Status.Sync) {
		t.Errorf("it changed from %+v to %+v", before, s.env.Status.Sync)
	}
}
