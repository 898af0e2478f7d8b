package feedback

import (
	"testing"
	"testing/synctest"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source/forge"
)

// Nothing that one project was told is taken for told to another, nor are the ids of its notes and deployments used there.
func TestAnotherProjectIsToldEverything(t *testing.T) {
	for _, when := range []string{"while the agent runs", "while it is stopped"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := opens(t, environment("side", "Healthy", ""))
				o.change(func() {
					o.open = []forge.MergeRequest{{Number: 7, Branch: "side"}}
					o.repo.Spec.Feedback.Deployments = v1alpha1.DeploymentsRecorded
				})
				o.said(time.Minute)
				o.stop()
				o.starts()
				o.wants("the same project gets nothing again", time.Minute, "list")
				// The id of another's comment would be reused if it were not 0.
				o.change(func() {
					o.envs["posts.review.side"].Status.Feedback.Notes[0].ID = 4711
					o.envs["posts.review.side"].Status.Feedback.Deployment.ID = 4712
				})
				if when == "while it is stopped" {
					o.stop()
				}
				o.change(func() {
					o.address = "https://gitlab.example.com/other/posts"
					o.repo.Spec.URL = "https://gitlab.example.com/other/posts.git"
				})
				if when == "while it is stopped" {
					o.starts()
				}
				o.sender.Follow(o.repo)
				o.wants("another project gets everything", time.Minute,
					"berth/review a Success", "list", "note 1007 in !7 Healthy", "deployment 0 of a to review/side Success")
				o.stop()
				o.starts()
				o.wants("it gets nothing again", time.Minute, "list")
				o.stop()
			})
		})
	}
}

// A project that was renamed keeps its notes: they are found by a marker that does not depend on its address.
func TestTheNotesOfARenamedProjectAreFoundAgain(t *testing.T) {
	l := &line{Sender: New(Config{Key: []byte("key")})}
	repo := apitest.Repository()
	before := l.marker(repo, 7)
	repo.Spec.URL = "https://gitlab.example.com/acme/renamed.git"
	if after := l.marker(repo, 7); after != before {
		t.Errorf("the marker was %s, and is %s", before, after)
	}
	repo.Name = "other"
	if l.marker(repo, 7) == before || l.marker(repo, 8) == l.marker(repo, 7) {
		t.Error("another Repository or merge request has the same marker")
	}
}
