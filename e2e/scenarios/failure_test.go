package scenarios

import (
	"testing"

	"berth.dev/berth/e2e/world"
)

func TestABrokenImage(t *testing.T) {
	t.Parallel()
	posts := begins(t, "broken")
	first := posts.pushes("main", application())
	posts.Environment("main").Becomes("Healthy", first)
	login := posts.Environment("login")
	login.Becomes("Healthy", posts.branches("login", code("login")))

	bad := posts.pushes("login", map[string]string{"k8s/api.yaml": broken(deployment("api", "")) + service("api")})
	failed := login.Becomes("Failed", bad, "Deployment/api", "registry.example.com/app:broken", "not found")
	if failed.Status.AppliedCommit != bad || failed.Status.HealthyCommit == bad {
		t.Errorf("applied is %.8s and healthy %.8s, want %.8s and the one before", failed.Status.AppliedCommit, failed.Status.HealthyCommit, bad)
	}
	if saw, is := posts.Environment("main").Is("Healthy", first); !is {
		t.Errorf("production suffers: %s", saw)
	}
	login.Becomes("Healthy", posts.pushes("login", map[string]string{"k8s/api.yaml": deployment("api", "") + service("api")}))
}

func TestAMigrationFails(t *testing.T) {
	t.Parallel()
	posts := begins(t, "migrate")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	before := production.Contents()

	bad := posts.pushes("main", with(code("with a bad migration"), "k8s/migrate.yaml", job("migrate", fails)))
	production.Becomes("Failed", bad, "Job/migrate", "container migrate exited with code 7")
	for _, name := range before.Changed(production.Contents()) {
		if name != "Job/migrate" {
			t.Errorf("%s changed although the migration before it failed", name)
		}
	}
	production.Becomes("Healthy", posts.pushes("main", with(code("with a good one"), "k8s/migrate.yaml", job("migrate", ""))))
}

func TestACrashLoop(t *testing.T) {
	t.Parallel()
	posts := begins(t, "crash")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	bad := posts.pushes("main", map[string]string{"k8s/worker.yaml": deployment("worker", crashes)})
	production.Becomes("Failed", bad, "Deployment/worker", "container worker exited with code 3")
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/worker.yaml": deployment("worker", "")}))
}

func TestASlowRollout(t *testing.T) {
	t.Parallel()
	posts := begins(t, "slow", timeout(3))
	commit := posts.pushes("main", with(application(), "k8s/worker.yaml", deployment("worker", startsSlowly)))
	production := posts.Environment("main")
	production.Becomes("Failed", commit, "not ready after 3s", "Deployment/worker")
	production.Becomes("Healthy", commit)
}

// The newest commit replaces one that is still rolling out.
func TestNewestWins(t *testing.T) {
	t.Parallel()
	posts := begins(t, "newest")
	production := posts.Environment("main")
	slow := posts.pushes("main", with(application(), "k8s/worker.yaml", deployment("worker", "labels: {kwok.berth.dev/behaviour: pending}")))
	production.Becomes("Syncing", slow, "Deployment/worker")
	production.AwaitObject("Deployment/worker", "is there", func(world.Object) bool { return true })
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/worker.yaml": deployment("worker", "")}))
}
