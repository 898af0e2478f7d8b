package feedback

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// Nothing seems to go on at the forge after the agent stopped to report there.
func TestNothingSeemsToGoOnAfterTheLastReport(t *testing.T) {
	removals := map[string]func(o *office){
		"spec.feedback": func(o *office) { o.repo.Spec.Feedback = nil },
		"the Repository": func(o *office) {
			o.missing = apierrors.NewNotFound(schema.GroupResource{}, o.repo.Name)
		},
	}
	for what, remove := range removals {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := opens(t, environment("side", "Syncing", ""), environment("main", "Healthy", ""))
				o.change(func() {
					o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}}
					o.repo.Spec.Feedback.Deployments = v1alpha1.DeploymentsRecorded
				})
				feedback := o.repo.Spec.Feedback
				o.said(time.Minute)
				o.change(func() { remove(o) })
				o.sender.Removed(client.ObjectKeyFromObject(o.repo))
				o.wants("what goes on is ended once", 24*time.Hour, "berth/review a Canceled", "deployment 5 of a to review/side Canceled", "note 1007 in !7 removed")
				if !strings.Contains(o.bodies[1007], "Not reported here any more") {
					t.Errorf("the note says %q", o.bodies[1007])
				}
				o.sender.mu.Lock()
				if len(o.sender.lines) != 0 {
					t.Error("there still is a goroutine for a Repository that reports nothing")
				}
				o.sender.mu.Unlock()
				o.change(func() { o.repo.Spec.Feedback, o.missing = feedback, nil })
				o.sender.Follow(o.repo)
				o.wants("it is reported again", time.Minute, "berth/review a Running", "list", "deployment 0 of a to review/side Running", "note 1007 in !7 Syncing")
				o.stop()
			})
		})
	}
}
