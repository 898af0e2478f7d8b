package feedback

import (
	"slices"
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
				if want := []string{"posts Unauthorized 1s", "posts left"}; !slices.Equal(o.counted, want) {
					t.Errorf("the metrics get %q, want %q", o.counted, want)
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

// A setting that becomes Never during a sync leaves nothing behind that seems to go on.
func TestASettingBecomesNeverDuringASync(t *testing.T) {
	for _, test := range []struct {
		setting string
		never   func(f *v1alpha1.Feedback)
		back    func(f *v1alpha1.Feedback)
		ends    []string
		again   []string
	}{
		{"statuses", func(f *v1alpha1.Feedback) { f.Statuses = v1alpha1.StatusesNever }, func(f *v1alpha1.Feedback) { f.Statuses = v1alpha1.StatusesBlocking },
			[]string{"berth/review a Canceled", "list"}, []string{"berth/review a Running", "list"}},
		{"note", func(f *v1alpha1.Feedback) { f.Note = v1alpha1.NoteNever }, func(f *v1alpha1.Feedback) { f.Note = v1alpha1.NoteSticky },
			[]string{"note 1007 in !7 removed"}, []string{"list", "note 1007 in !7 Syncing"}},
		{"deployments", func(f *v1alpha1.Feedback) { f.Deployments = v1alpha1.DeploymentsNever }, func(f *v1alpha1.Feedback) { f.Deployments = v1alpha1.DeploymentsRecorded },
			[]string{"list", "deployment 5 of a to review/side Canceled"}, []string{"list", "deployment 0 of a to review/side Running"}},
	} {
		t.Run(test.setting, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := opens(t, environment("side", "Syncing", ""))
				o.change(func() {
					o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}}
					o.repo.Spec.Feedback.Deployments = v1alpha1.DeploymentsRecorded
				})
				o.said(time.Minute)
				set := func(change func(f *v1alpha1.Feedback)) {
					o.change(func() {
						f := *o.repo.Spec.Feedback
						change(&f)
						o.repo.Spec.Feedback = &f
					})
					o.sender.Follow(o.repo)
				}
				set(test.never)
				o.wants("what goes on is ended", time.Minute, test.ends...)
				o.stop()
				o.starts()
				if calls := o.said(time.Hour); len(calls) > 1 {
					t.Errorf("it is ended again after a restart: %q", calls)
				}
				set(test.back)
				o.wants("it is reported again", time.Minute, test.again...)
				o.stop()
			})
		})
	}
}
