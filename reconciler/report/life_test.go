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

// A confirmation is used up by the pass that has judged it, whatever came of it, and by no other.
func TestAConfirmationIsUsedUp(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome reconciler.Outcome
		want    string
	}{
		{"it was judged, and what it let go goes", reconciler.Outcome{State: plan.Going, Confirmation: "2"}, "2"},
		{"nothing was held", reconciler.Outcome{State: plan.Settled, Confirmation: "2"}, "2"},
		{"it came after the pass had begun", reconciler.Outcome{State: plan.Settled}, "1"},
		{"nothing could be judged", reconciler.Outcome{State: plan.Failed, Rejected: true}, "1"},
		{"its environment has expired, and all is gone", reconciler.Outcome{Life: reconciler.Life{Stage: reconciler.Expired}}, "2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationConfirmed: "2"}}}
			env.Status.HandledConfirmation = "1"
			if s := environmentStatus(env, test.outcome, time.Now()); s.HandledConfirmation != test.want {
				t.Errorf("handled is %q, want %q", s.HandledConfirmation, test.want)
			}
		})
	}
}

func TestTheStagesOfALife(t *testing.T) {
	now := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name    string
		outcome reconciler.Outcome
		reason  string
		// handled says that the requests count as carried out, forgotten that nothing runs any more.
		handled, forgotten bool
		more               string // a condition beside the usual ones
	}{
		{name: "it runs", outcome: reconciler.Outcome{State: plan.Settled}, reason: v1alpha1.ReasonHealthy, handled: true},
		{name: "it is queued", outcome: reconciler.Outcome{Life: reconciler.Life{Stage: reconciler.Queued}}, reason: v1alpha1.ReasonQueued},
		{name: "a person is asked", outcome: reconciler.Outcome{Life: reconciler.Life{Stage: reconciler.Held}}, reason: v1alpha1.ReasonWaiting},
		{name: "it expires", outcome: reconciler.Outcome{Life: reconciler.Life{Stage: reconciler.Expiring}}, reason: v1alpha1.ReasonExpiring},
		{name: "it has expired", outcome: reconciler.Outcome{Life: reconciler.Life{Stage: reconciler.Expired}}, reason: v1alpha1.ReasonExpired, forgotten: true},
		{name: "it is deleted", outcome: reconciler.Outcome{Deleting: true}, reason: v1alpha1.ReasonDeleting},
		{
			name: "it will expire soon", reason: v1alpha1.ReasonHealthy, handled: true, more: v1alpha1.ConditionExpiresSoon,
			outcome: reconciler.Outcome{State: plan.Settled, Life: reconciler.Life{ExpiresSoon: "tomorrow"}},
		},
		{
			name: "its entry has moved", reason: v1alpha1.ReasonHealthy, handled: true, more: v1alpha1.ConditionMoved,
			outcome: reconciler.Outcome{State: plan.Settled, Life: reconciler.Life{Moved: "elsewhere"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationRetry: "7"}}}
			env.Status.AppliedCommit = "1a2b3c4d"
			test.outcome.Life.Activity, test.outcome.Life.LastActivity = "digest", now.Add(-time.Hour)
			s := environmentStatus(env, test.outcome, now)
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
			if !test.outcome.Deleting && (s.Activity != "digest" || !s.LastActivityTime.Time.Equal(now.Add(-time.Hour))) {
				t.Errorf("the last activity was %s at %s", s.Activity, s.LastActivityTime)
			}
		})
	}
}

// COMMIT, its age, its author and its subject speak of one commit.
func TestWhatIsSaidOfACommitIsSaidOfThatOne(t *testing.T) {
	first := reconciler.CommitInfo{Time: time.Unix(1700000000, 0), Author: "Ada", Subject: "first"}
	env := &v1alpha1.Environment{}
	env.Status = environmentStatus(env, reconciler.Outcome{Commit: strings.Repeat("a", 40), About: first}, time.Now())
	if s := env.Status; s.ShortCommit != "aaaaaaaa" || s.CommitAuthor != "Ada" || s.CommitSubject != "first" || !s.CommitTime.Time.Equal(first.Time) {
		t.Errorf("what was read: %+v", s)
	}
	env.Status = environmentStatus(env, reconciler.Outcome{Commit: strings.Repeat("a", 40)}, time.Now())
	if s := env.Status; s.CommitSubject != "first" || s.CommitTime == nil {
		t.Errorf("the same commit, not read again: %+v", s)
	}
	env.Status = environmentStatus(env, reconciler.Outcome{Commit: strings.Repeat("b", 40)}, time.Now())
	if s := env.Status; s.ShortCommit != "bbbbbbbb" || s.CommitAuthor != "" || s.CommitSubject != "" || s.CommitTime != nil {
		t.Errorf("another one, that cannot be read: %+v", s)
	}
}
