package feedback

import (
	"testing"
	"testing/synctest"
	"time"

	"berth.dev/berth/source/forge"
)

// A busy Repository with hundreds of merge requests does not cost a list of all of them for each change.
func TestMergeRequestsAreListedOnlyForAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("side", "Healthy", ""), environment("main", "Healthy", ""))
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.said(time.Minute)
		o.becomes("side", "Failed", commitA)
		o.wants("a known merge request needs none", time.Minute, "berth/review a Failed", "note 1007 in !7 Failed")
		o.sender.Changed(o.envs["posts.production.main"])
		o.wants("nor does a branch without a difference", 24*time.Hour)
		o.change(func() { o.open = append(o.open, forge.MergeRequest{Number: 8, Branch: "main"}) })
		o.becomes("main", "Failed", commitA)
		o.wants("a branch without a known one has a new text", time.Minute, "berth/production a Failed", "list", "note 1008 in !8 Failed")
		o.change(func() { o.open = o.open[1:] })
		o.said(outdated)
		o.becomes("side", "Healthy", commitA)
		o.wants("a known one may be closed by now", time.Minute, "berth/review a Success", "list")
		o.change(func() { delete(o.envs, "posts.production.main") })
		o.sender.Changed(environment("main", "Failed", ""))
		o.wants("an environment is gone", time.Minute, "note 1008 in !8 removed")
		o.stop()
	})
}

// Without a webhook, nothing announces a merge request. One that was opened before its branch changed gets its note, even if
// the merge requests were listed a moment ago because of another branch.
func TestAChangeSoonAfterAListIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := opens(t, environment("main", "Healthy", ""))
		o.wants("the start", time.Second, "berth/production a Success", "list")
		o.change(func() { o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}} })
		o.becomes("side", "Syncing", commitA)
		o.said(time.Second)
		o.becomes("side", "Healthy", commitA)
		o.wants("the list comes when it may, and the note with it", 4*time.Second, "berth/review a Success", "list", "note 1007 in !7 Healthy")
		o.becomes("other", "Healthy", commitA)
		o.becomes("another", "Healthy", commitA)
		o.wants("several branches cost one list", time.Minute, "berth/review a Success", "berth/review a Success", "list")
		o.wants("nothing is asked while nothing changes", 24*time.Hour)
		o.stop()
	})
}
