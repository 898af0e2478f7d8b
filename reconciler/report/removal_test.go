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
		life    Stage
		finding reconciler.Finding
		want    bool
	}{
		{name: "a Job has failed", was: "Job/drop: 0 of 1 completed", is: failed, life: Deleting, finding: reconciler.TornDown{State: plan.Failed}, want: true},
		{name: "it is still so", was: failed, is: failed, life: Deleting, finding: reconciler.TornDown{State: plan.Failed}},
		{name: "a preview expires", was: "", is: failed, life: Expiring, finding: reconciler.TornDown{State: plan.Failed}, want: true},
		{name: "a Job runs", was: "", is: "Job/drop: 0 of 1 completed", life: Deleting, finding: reconciler.TornDown{State: plan.Waiting}},
		{name: "a sync has failed", was: "", is: failed, finding: reconciler.Judged{State: plan.Failed}},
		{name: "a Job could not run", life: Deleting, finding: reconciler.TornDown{Warnings: []string{skipped}}, want: true},
		{name: "a sync warns", finding: reconciler.Judged{Objects: &reconciler.Objects{Warnings: []string{skipped}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(1)
			r := New(Config{Recorder: recorder})
			standing := Standing{Life: Life{Stage: test.life}, Outcome: reconciler.Outcome{Finding: test.finding}}
			r.tellSkipped(&v1alpha1.Environment{}, standing)
			r.tellRemoval(saying(test.was), saying(test.is), standing)
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
