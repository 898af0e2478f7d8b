package report

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// The obstacles of a removal, and the Jobs that it could not run, are each reported once as an event.
func TestWhatIsSaidOfARemoval(t *testing.T) {
	failed := "Job/drop: BackoffLimitExceeded; to run it again: berth retry posts.review.login"
	skipped := "Job/drop did not run: its namespace posts is gone, or is being deleted"
	for _, test := range []struct {
		name    string
		was     string
		life    Stage
		finding reconciler.Finding
		want    string
	}{
		{"a Job has failed", "Job/drop: 0 of 1 completed", Deleting, reconciler.TornDown{State: plan.Failed, Message: failed}, failed},
		{"it is still so", failed, Deleting, reconciler.TornDown{State: plan.Failed, Message: failed}, ""},
		{"a preview expires", "", Expiring, reconciler.TornDown{State: plan.Failed, Message: failed}, failed},
		{"a Job runs", "", Deleting, reconciler.TornDown{State: plan.Waiting, Message: "Job/drop: 0 of 1 completed"}, ""},
		{"a sync has failed", "", Living, reconciler.Judged{State: plan.Failed, Message: failed}, ""},
		{"a Job could not run", "", Deleting, reconciler.TornDown{State: plan.Waiting, Warnings: []string{skipped}}, skipped},
		{"a sync warns", "", Living, reconciler.Judged{State: plan.Settled, Objects: &reconciler.Objects{Warnings: []string{skipped}}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			standing := Standing{Life: Life{Stage: test.life}, Outcome: reconciler.Outcome{Finding: test.finding}}
			env := &v1alpha1.Environment{}
			env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDeleting, Message: test.was}}
			said := incidents(standing)
			for _, transition := range Transitions(env.Status, environmentStatus(env, standing, noon)) {
				if e, ok := transition.event(); ok && transition.Change != ReadyChanged {
					said = append(said, e)
				}
			}
			if got := notes(said); got != test.want {
				t.Errorf("it is said: %q, want %q", got, test.want)
			}
		})
	}
}

func notes(events []event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.note)
	}
	return strings.Join(all, "; ")
}
