package report

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// What a removal waits for, and what it could not run, is an event; each once.
func TestWhatIsSaidOfARemoval(t *testing.T) {
	failed := "Job/drop: BackoffLimitExceeded; to run it again: berth retry posts.review.login"
	skipped := "Job/drop did not run: its namespace posts is gone, or is being deleted"
	for _, test := range []struct {
		name    string
		was, is string
		outcome reconciler.Outcome
		want    bool
	}{
		{name: "a Job has failed", was: "Job/drop: 0 of 1 completed", is: failed, outcome: reconciler.Outcome{Deleting: true, State: plan.Failed}, want: true},
		{name: "it is still so", was: failed, is: failed, outcome: reconciler.Outcome{Deleting: true, State: plan.Failed}},
		{name: "a preview expires", was: "", is: failed, outcome: reconciler.Outcome{State: plan.Failed, Life: reconciler.Life{Stage: reconciler.Expiring}}, want: true},
		{name: "a Job runs", was: "", is: "Job/drop: 0 of 1 completed", outcome: reconciler.Outcome{Deleting: true, State: plan.Waiting}},
		{name: "a sync has failed", was: "", is: failed, outcome: reconciler.Outcome{State: plan.Failed}},
		{name: "a Job could not run", outcome: reconciler.Outcome{Deleting: true, Warnings: []string{skipped}}, want: true},
		{name: "a sync warns", outcome: reconciler.Outcome{Warnings: []string{skipped}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(1)
			r := New(Config{Recorder: recorder})
			r.tellSkipped(&v1alpha1.Environment{}, test.outcome)
			r.tellRemoval(saying(test.was), saying(test.is), test.outcome)
			select {
			case said := <-recorder.Events:
				if !test.want || !strings.Contains(said, failed) && !strings.Contains(said, skipped) {
					t.Errorf("it is said: %s", said)
				}
			default:
				if test.want {
					t.Error("nothing is said")
				}
			}
		})
	}
}

// saying is an Environment whose Ready says something.
func saying(message string) *v1alpha1.Environment {
	env := &v1alpha1.Environment{}
	env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDeleting, Message: message}}
	return env
}
