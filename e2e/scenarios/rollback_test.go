package scenarios

import (
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// rollsBack makes every entry roll back to the last healthy commit.
func rollsBack(r *v1alpha1.Repository) {
	for i := range r.Spec.Environments {
		r.Spec.Environments[i].Health.OnFailure = v1alpha1.FailureRollback
	}
}

func TestAFailureIsRolledBack(t *testing.T) {
	t.Parallel()
	posts := begins(t, "rollback", rollsBack)
	production := posts.Environment("main")
	healthy := posts.pushes("main", application())
	production.Becomes("Healthy", healthy)
	image := production.Object("Deployment/api").Image()

	bad := posts.pushes("main", with(code("worse"), "k8s/api.yaml", broken(deployment("api", ""))+service("api")))
	after := production.Becomes("RolledBack", bad, bad[:8], healthy[:8], "Deployment/api", "berth retry")
	if got := production.Object("Deployment/api").Image(); got != image {
		t.Errorf("the image is %s, want %s", got, image)
	}
	migration := production.Object("Job/migrate")
	if after.Status.AppliedCommit != healthy || after.Status.HealthyCommit != healthy {
		t.Errorf("applied %.8s, healthy %.8s", after.Status.AppliedCommit, after.Status.HealthyCommit)
	}
	var told []string
	for _, sync := range after.Status.History {
		told = append(told, sync.Commit[:8]+" "+sync.Outcome)
	}
	if want := []string{healthy[:8] + " RolledBack", bad[:8] + " Failed", healthy[:8] + " Healthy"}; !slices.Equal(told, want) {
		t.Errorf("the history is %q, want %q", told, want)
	}
	began := time.Now()
	same := posts.pushes("main", map[string]string{"README.md": "Nothing that matters.\n"})
	production.Becomes("RolledBack", same)
	posts.expectWrites(began)
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/api.yaml": deployment("api", "") + service("api")}))
	if production.Object("Job/migrate").GetUID() != migration.GetUID() {
		t.Error("the migration of the fixed commit, which had run before the rollback, ran again")
	}
}

// One wrong file causes no partial deployment, and all problems are reported at once.
func TestAllProblemsAreToldBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	posts := begins(t, "validate")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	began := time.Now()
	typo := func(text string) string { return strings.Replace(text, "replicas:", "replicsa:", 1) }
	bad := posts.pushes("main", with(code("worse"), "k8s/api.yaml", typo(deployment("api", ""))+service("api"), "k8s/worker.yaml", typo(deployment("worker", ""))))
	failed := production.Becomes("Failed", bad, "2 objects of it", "api.yaml:2", "worker.yaml:2", "replicsa")
	if len(failed.Status.Unhealthy) != 2 {
		t.Errorf("unhealthy: %+v", failed.Status.Unhealthy)
	}
	posts.expectWrites(began)
	production.Patch("Deployment/api", `{"spec":{"replicas":5}}`)
	production.AwaitObject("Deployment/api", "is corrected meanwhile", func(o world.Object) bool { return o.Field("spec.replicas") == "2" })
}

// Only the event of the workload can open the gate, because no pass is due before a timeout. The test logs the time
// from the workload's readiness to the creation of the object that depends on it.
func TestAHealthEventReachesTheGateAtOnce(t *testing.T) {
	t.Parallel()
	posts := begins(t, "gate")
	later := strings.Replace(deployment("later", ""), "metadata:\n", "metadata:\n  annotations: {berth.dev/wave: \"1\"}\n", 1)
	commit := posts.pushes("main", map[string]string{"k8s/first.yaml": deployment("first", ""), "k8s/later.yaml": later, "app/main.go": "package main\n"})
	production := posts.Environment("main")
	var ready time.Time
	production.AwaitObject("Deployment/first", "is ready", func(o world.Object) bool {
		ready = time.Now()
		return o.Field("status.availableReplicas") == "2"
	})
	production.AwaitObject("Deployment/later", "is there", func(world.Object) bool { return true })
	t.Logf("the gate opened within %s", time.Since(ready).Round(time.Millisecond))
	production.Becomes("Healthy", commit)
}
