package scenarios

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// onRemoval is a Job that runs when the environment is deleted.
func onRemoval(name, behaviour string) string {
	return strings.Replace(job(name, behaviour), `berth.dev/wave: "-1"`, "berth.dev/job: on-removal", 1)
}

// The objects that a removal Job needs exist while it runs. If it fails, a user decides how to continue.
func TestAJobRunsWhenTheEnvironmentGoes(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "goes"), time.Now()
	posts.Environment("main").Becomes("Healthy", posts.pushes("main", application()))

	t.Run("it runs before anything is deleted", func(t *testing.T) {
		posts := posts.in(t)
		login := posts.Environment("login")
		login.Becomes("Healthy", posts.branches("login", map[string]string{"k8s/drop.yaml": onRemoval("drop", takesLong)}))
		posts.expectRuns(began, "drop", 0)
		environment, _ := login.Get()
		if jobs := environment.Status.Jobs; len(jobs) != 2 || jobs[1].Outcome != v1alpha1.JobOnRemoval {
			t.Errorf("the status has the Jobs %+v", jobs)
		}
		posts.git.Delete("login")
		login.AwaitObject("Job/drop", "runs", func(world.Object) bool { return true })
		expectThere(t, login, "Deployment/api", "ConfigMap/common", "Service/api")
		login.AwaitEnd()
		posts.expectRuns(began, "drop", 1)
	})
	t.Run("one that fails is confirmed", func(t *testing.T) {
		posts := posts.in(t)
		login := posts.Environment("fails")
		commit := posts.branches("fails", map[string]string{"k8s/drop.yaml": onRemoval("clear", fails)})
		name := login.Becomes("Healthy", commit).Name
		posts.git.Delete("fails")
		login.Becomes("Deleting", commit, "Job/clear", "exited with code 7", "nothing is deleted before it has succeeded", "berth confirm "+name)
		login.AwaitEvent("RemovalWaits", "Job/clear")
		expectThere(t, login, "Deployment/api", "ConfigMap/common")
		posts.says("fails", "retry", "--no-wait")
		world.Await(t, "it runs again", func() (string, bool) { return "", posts.runs(began, "clear") == 2 })
		login.AwaitUnhealthy("Job/clear", "exited with code 7")
		posts.says("fails", "confirm")
		login.AwaitEnd()
		posts.expectRuns(began, "clear", 2)
	})
	t.Run("it is no part of a sync, but has to be valid", func(t *testing.T) {
		posts := posts.in(t)
		invalid := strings.Replace(onRemoval("drop", ""), "restartPolicy: Never", "restartPolicy: Always", 1)
		posts.Environment("main").Becomes("Failed", posts.pushes("main", map[string]string{"k8s/drop.yaml": invalid}), "k8s/drop.yaml", "restartPolicy")
	})
}

// A preview that expires runs its Job as well, and a push re-creates the preview.
func TestAJobRunsWhenAPreviewExpires(t *testing.T) {
	t.Parallel()
	expires := func(r *v1alpha1.Repository) {
		after := seconds(20)
		r.Spec.Environments[1].ExpireAfter = &after
	}
	posts, began := begins(t, "expires", expires), time.Now()
	posts.Environment("main").Becomes("Healthy", posts.pushes("main", application()))
	login := posts.Environment("login")
	commit := posts.branches("login", map[string]string{"k8s/drop.yaml": onRemoval("drop", "")})
	login.Becomes("Healthy", commit)
	migrated := posts.runs(began, "migrate")
	login.Becomes("Expired", commit)
	posts.expectRuns(began, "drop", 1)
	login.Becomes("Healthy", posts.pushes("login", map[string]string{"README.md": "Still needed.\n"}))
	posts.expectRuns(began, "migrate", migrated+1)
}
