package feedback

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// A deployment that the forge created before it refused the rest is continued, not created once more.
func TestADeploymentIsCreatedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.change(func() {
			f := o.repo.Spec.Feedback
			f.Statuses, f.Note, f.Deployments = v1alpha1.StatusesNever, v1alpha1.NoteNever, v1alpha1.DeploymentsRecorded
			o.fails = func(string) error { return fault(forge.Refused, 0) }
		})
		o.said(time.Second)
		o.becomes("side", "Healthy", commitA)
		created := 0
		for _, call := range o.said(time.Hour) {
			if strings.HasPrefix(call, "deployment 0 ") {
				created++
			}
		}
		if created != 1 {
			t.Errorf("%d deployments were created in an hour", created)
		}
		o.stop()
		o.starts()
		o.change(func() { o.fails = nil })
		o.wants("a restart continues it, too", time.Hour, "deployment 5 of a to review/side Success")
		o.stop()
	})
}

// The end of one does not stop the environment of the other at the forge.
func TestTwoBranchesShareAnEnvironmentOfTheForge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.change(func() {
			f := o.repo.Spec.Feedback
			f.Statuses, f.Note, f.Deployments = v1alpha1.StatusesNever, v1alpha1.NoteNever, v1alpha1.DeploymentsRecorded
		})
		o.becomes("feature/x", "Healthy", commitA)
		o.becomes("feature-x", "Healthy", commitB)
		o.wants("both are deployed", time.Second, "deployment 0 of b to review/feature-x Success", "deployment 0 of a to review/feature-x Success")
		o.becomes("feature/x", "Expired", commitA)
		o.wants("one expires", time.Second, "end only 5 of review/feature-x")
		o.becomes("feature-x", "Expired", commitB)
		o.wants("the other does, too", time.Second, "end 5 of review/feature-x")
		o.stop()
	})
}

// GitLab would show the environment of a branch that is gone as running, although nothing is recorded any more.
func TestAnEnvironmentThatWasRecordedEndsWithItsBranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t)
		o.change(func() {
			f := o.repo.Spec.Feedback
			f.Statuses, f.Note, f.Deployments = v1alpha1.StatusesNever, v1alpha1.NoteNever, v1alpha1.DeploymentsRecorded
		})
		o.becomes("side", "Healthy", commitA)
		o.becomes("other", "Healthy", commitB)
		o.wants("both are deployed", time.Second, "deployment 0 of b to review/other Success", "deployment 0 of a to review/side Success")
		o.change(func() { o.repo.Spec.Feedback.Deployments = v1alpha1.DeploymentsNever })
		o.sender.Follow(o.repo)
		o.wants("deployments are not recorded any more", time.Hour)
		o.stop()
		o.starts()
		o.said(time.Minute)
		o.becomes("side", "Healthy", commitB)
		o.wants("a push is not recorded", time.Minute)
		o.change(func() { delete(o.envs, "posts.review.side") })
		o.sender.Changed(environment("side", "Healthy", ""))
		o.wants("the branch is gone", time.Minute, "end 5 of review/side")
		o.becomes("other", "Expired", commitB)
		o.wants("another one expires", time.Minute, "end 5 of review/other")
		o.wants("once", time.Hour)
		o.stop()
	})
}
