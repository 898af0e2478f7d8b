package scenarios

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/e2e/world"
)

// annotatedJob is a migration with a different annotation.
func annotatedJob(behaviour, annotation string) string {
	return strings.Replace(job("migrate", behaviour), "  annotations:\n", "  annotations:\n    "+annotation+"\n", 1)
}

// another waits until a Job has a different UID.
func another(e *world.Environment, was types.UID) world.Object {
	return e.AwaitObject("Job/migrate", "is another", func(o world.Object) bool { return o.GetUID() != was && o.GetDeletionTimestamp() == nil })
}

func TestAJobThatRunsIsNotKilledByAChange(t *testing.T) {
	t.Parallel()
	posts := begins(t, "running")
	production := posts.Environment("main")
	posts.pushes("main", with(application(), "k8s/migrate.yaml", job("migrate", runsOn)))
	first := production.AwaitObject("Job/migrate", "runs", func(o world.Object) bool { return o.Field("status.active") == "1" })

	changed := posts.pushes("main", code("changed"))
	production.Becomes("Waiting", changed, "Job/migrate", "waits for the running Job to finish")
	if now := production.Object("Job/migrate"); now.GetUID() != first.GetUID() || now.GetDeletionTimestamp() != nil {
		t.Error("it was killed half way")
	}
	person := other{t, "kubectl", production.Namespace()}
	person.finishes(first)
	person.finishes(another(production, first.GetUID()))
	production.Becomes("Healthy", changed)

	t.Run("unless it says so", func(t *testing.T) {
		posts := posts.in(t)
		production := posts.Environment("main")
		was := production.Object("Job/migrate").GetUID()
		posts.pushes("main", with(code("slow"), "k8s/migrate.yaml", annotatedJob(runsOn, "berth.dev/job-replace: terminate")))
		slow := another(production, was)
		commit := posts.pushes("main", map[string]string{"k8s/migrate.yaml": annotatedJob("", "berth.dev/job-replace: terminate")})
		another(production, slow.GetUID())
		production.Becomes("Healthy", commit)
	})
	t.Run("nor by leaving Git", func(t *testing.T) {
		posts := posts.in(t)
		production := posts.Environment("main")
		was := production.Object("Job/migrate").GetUID()
		posts.pushes("main", with(code("once more"), "k8s/migrate.yaml", strings.Replace(job("migrate", runsOn), `berth.dev/wave: "-1"`, `berth.dev/wave: "0"`, 1)))
		runs := another(production, was)
		commit := posts.removes("main", "k8s/migrate.yaml")
		production.Becomes("Waiting", commit, "Job/migrate", "waits for the running Job to finish")
		other{t, "kubectl", production.Namespace()}.finishes(runs)
		production.AwaitGone("Job/migrate")
		production.Becomes("Healthy", commit)
	})
}

func TestAJobThatIsDeletedWhileItRunsHasFailed(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "deleted"), time.Now()
	production := posts.Environment("main")
	commit := posts.pushes("main", with(application(), "k8s/migrate.yaml", job("migrate", takesLong)))
	production.AwaitObject("Job/migrate", "runs", func(o world.Object) bool { return o.Field("status.active") == "1" })
	production.Delete("Job/migrate")
	production.Becomes("Failed", commit, "Job/migrate", "was deleted by another client before it finished", "berth retry")
	if _, there := production.Find("Deployment/api"); there {
		t.Error("what waits for it did not")
	}
	posts.says("main", "retry")
	production.Becomes("Healthy", commit)
	posts.expectRuns(began, "migrate", 2)
}

func TestHowOftenAJobRuns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, annotation string
		runs             int // after four commits: code, code, documentation, code
	}{
		{"on-change", "berth.dev/job: on-change", 3},
		{"every-commit", "berth.dev/job: every-commit", 4},
		{"one-time", "berth.dev/job: once", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			posts, began := begins(t, test.name), time.Now()
			production := posts.Environment("main")
			production.Becomes("Healthy", posts.pushes("main", with(application(), "k8s/migrate.yaml", annotatedJob("", test.annotation))))
			for _, files := range []map[string]string{code("second"), {"README.md": "third\n"}, code("fourth")} {
				production.Becomes("Healthy", posts.pushes("main", files))
			}
			posts.expectRuns(began, "migrate", test.runs)
		})
	}
}

// A Job may take longer than a rollout if it sets its own deadline.
func TestALongJob(t *testing.T) {
	t.Parallel()
	posts := begins(t, "long", timeout(2))
	production := posts.Environment("main")
	late := posts.pushes("main", with(application(), "k8s/migrate.yaml", job("migrate", runsOn)))
	production.Becomes("Failed", late, "not ready after 2s", "Job/migrate")
	first := production.Object("Job/migrate")
	person := other{t, "kubectl", production.Namespace()}
	person.finishes(first)
	production.Becomes("Healthy", late)
	patient := strings.Replace(job("migrate", runsOn), "spec:\n", "spec:\n  activeDeadlineSeconds: 600\n", 1)
	commit := posts.pushes("main", map[string]string{"k8s/migrate.yaml": patient})
	production.Becomes("Syncing", commit, "Job/migrate")
	world.Always(t, 4*time.Second, "the Job may take longer than the timeout", func() (string, bool) { return production.Is("Syncing", commit) })
	person.finishes(another(production, first.GetUID()))
	production.Becomes("Healthy", commit)
}
