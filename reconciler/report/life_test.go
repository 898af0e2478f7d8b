package report

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// found returns the standing of an environment after a pass with a finding.
func found(f reconciler.Finding) Standing { return Standing{Outcome: reconciler.Outcome{Finding: f}} }

// A confirmation is used up by the pass that has judged it, whatever the result, and by no other.
func TestAConfirmationIsUsedUp(t *testing.T) {
	for _, test := range []struct {
		name     string
		standing Standing
		want     string
	}{
		{"it was judged, and what it let go goes", found(reconciler.Judged{State: plan.Going, Confirmation: "2"}), "2"},
		{"nothing was held", found(reconciler.Judged{State: plan.Settled, Confirmation: "2"}), "2"},
		{"it came after the pass had begun", found(reconciler.Judged{State: plan.Settled}), "1"},
		{"nothing could be judged", found(reconciler.Judged{State: plan.Failed, CommitState: reconciler.Rejected}), "1"},
		{"its environment has expired, and all is gone", Standing{Life: Life{Stage: Expired}}, "2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationConfirmed: "2"}}}
			env.Status.HandledConfirmation = "1"
			if s := environmentStatus(env, test.standing, time.Now()); s.HandledConfirmation != test.want {
				t.Errorf("handled is %q, want %q", s.HandledConfirmation, test.want)
			}
		})
	}
}

func TestTheStagesOfALife(t *testing.T) {
	now := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name     string
		standing Standing
		reason   string
		// handled says that the requests count as handled. forgotten says that nothing runs any more.
		handled, forgotten bool
		more               string // a condition besides the usual ones
	}{
		{name: "it runs", standing: found(reconciler.Judged{State: plan.Settled}), reason: v1alpha1.ReasonHealthy, handled: true},
		{name: "it is queued", standing: Standing{Life: Life{Stage: Queued}}, reason: v1alpha1.ReasonQueued},
		{name: "a person is asked", standing: Standing{Life: Life{Stage: Held}}, reason: v1alpha1.ReasonWaiting},
		{name: "it expires", standing: Standing{Life: Life{Stage: Expiring}}, reason: v1alpha1.ReasonExpiring},
		{name: "it has expired", standing: Standing{Life: Life{Stage: Expired}}, reason: v1alpha1.ReasonExpired, forgotten: true},
		{name: "it is deleted", standing: Standing{Life: Life{Stage: Deleting}, Outcome: reconciler.Outcome{Finding: reconciler.TornDown{}}}, reason: v1alpha1.ReasonDeleting},
		{
			name: "it will expire soon", reason: v1alpha1.ReasonHealthy, handled: true, more: v1alpha1.ConditionExpiresSoon,
			standing: Standing{Life: Life{ExpiresSoon: "tomorrow"}, Outcome: reconciler.Outcome{Finding: reconciler.Judged{State: plan.Settled}}},
		},
		{
			name: "its entry has moved", reason: v1alpha1.ReasonHealthy, handled: true, more: v1alpha1.ConditionMoved,
			standing: Standing{Life: Life{Moved: "elsewhere"}, Outcome: reconciler.Outcome{Finding: reconciler.Judged{State: plan.Settled}}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationRetry: "7"}}}
			env.Status.AppliedCommit = "1a2b3c4d"
			test.standing.Life.Activity, test.standing.Life.LastActivity = "digest", now.Add(-time.Hour)
			s := environmentStatus(env, test.standing, now)
			if ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); ready.Reason != test.reason {
				t.Errorf("Ready is %s, want %s", ready.Reason, test.reason)
			}
			if (s.HandledRetry == "7") != test.handled {
				t.Errorf("the retry counts as %q", s.HandledRetry)
			}
			if (s.AppliedCommit == "") != test.forgotten {
				t.Errorf("what was applied is %q", s.AppliedCommit)
			}
			if test.more != "" && !meta.IsStatusConditionTrue(s.Conditions, test.more) {
				t.Errorf("the conditions are %v", s.Conditions)
			}
			if test.standing.Life.Stage != Deleting && (s.Activity != "digest" || !s.LastActivityTime.Time.Equal(now.Add(-time.Hour))) {
				t.Errorf("the last activity was %s at %s", s.Activity, s.LastActivityTime)
			}
		})
	}
}

// COMMIT, its age, its author and its subject describe the same commit.
func TestWhatIsSaidOfACommitIsSaidOfThatOne(t *testing.T) {
	first := reconciler.CommitInfo{Time: time.Unix(1700000000, 0), Author: "Ada", Subject: "first"}
	env := &v1alpha1.Environment{}
	env.Status = environmentStatus(env, found(reconciler.Judged{Commit: strings.Repeat("a", 40), About: first}), time.Now())
	if s := env.Status; s.ShortCommit != "aaaaaaaa" || s.CommitAuthor != "Ada" || s.CommitSubject != "first" || !s.CommitTime.Time.Equal(first.Time) {
		t.Errorf("what was read: %+v", s)
	}
	env.Status = environmentStatus(env, found(reconciler.Judged{Commit: strings.Repeat("a", 40)}), time.Now())
	if s := env.Status; s.CommitSubject != "first" || s.CommitTime == nil {
		t.Errorf("the same commit, not read again: %+v", s)
	}
	env.Status = environmentStatus(env, found(reconciler.Judged{Commit: strings.Repeat("b", 40)}), time.Now())
	if s := env.Status; s.ShortCommit != "bbbbbbbb" || s.CommitAuthor != "" || s.CommitSubject != "" || s.CommitTime != nil {
		t.Errorf("another one, that cannot be read: %+v", s)
	}
}
