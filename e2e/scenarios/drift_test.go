package scenarios

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
)

func TestWhatIsDoneByHandIsPutBack(t *testing.T) {
	t.Parallel()
	posts := begins(t, "drift")
	commit := posts.pushes("main", application())
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)
	label := production.Object("ConfigMap/common").GetLabels()["berth.dev/environment"]

	tests := []struct {
		name   string
		do     func(*world.Environment)
		object string
		again  func(world.Object) bool
		writes string
		told   string
	}{
		{
			name:   "a Deployment is scaled",
			do:     func(production *world.Environment) { production.Patch("Deployment/api", `{"spec":{"replicas":5}}`) },
			object: "Deployment/api",
			again:  func(o world.Object) bool { return o.Field("spec.replicas") == "2" },
			writes: "patch deployments/api",
			told:   "Deployment/drift/api: was changed by kubectl-edit; it is again as Git says",
		},
		{
			name: "a value is edited",
			do: func(production *world.Environment) {
				production.Patch("ConfigMap/common", `{"data":{"HOST":"by.hand"}}`)
			},
			object: "ConfigMap/common",
			again:  func(o world.Object) bool { return o.Field("data.HOST") == "posts.example.com" },
			writes: "patch configmaps/common",
			told:   "ConfigMap/drift/common: was changed by kubectl-edit; it is again as Git says",
		},
		{
			name: "another edit of the same object is another event",
			do: func(*world.Environment) {
				other{t, "another-tool", "drift"}.patches("configmaps", "common", `{"data":{"HOST":"by.another"}}`)
			},
			object: "ConfigMap/common",
			again:  func(o world.Object) bool { return o.Field("data.HOST") == "posts.example.com" },
			writes: "patch configmaps/common",
			told:   "ConfigMap/drift/common: was changed by another-tool; it is again as Git says",
		},
		{
			name:   "an object is deleted",
			do:     func(production *world.Environment) { production.Delete("Service/api") },
			object: "Service/api",
			again:  func(o world.Object) bool { return o.GetDeletionTimestamp() == nil },
			writes: "patch services/api",
			told:   "Service/drift/api: was deleted by another client; it is again as Git says",
		},
		{
			name: "the label is removed",
			do: func(production *world.Environment) {
				production.Patch("ConfigMap/common", `{"metadata":{"labels":{"berth.dev/environment":null}}}`)
			},
			object: "ConfigMap/common",
			again:  func(o world.Object) bool { return o.GetLabels()["berth.dev/environment"] == label },
			writes: "patch configmaps/common",
			told:   "ConfigMap/drift/common",
		},
		{
			name:   "a Deployment is deleted",
			do:     func(production *world.Environment) { production.Delete("Deployment/worker") },
			object: "Deployment/worker",
			again: func(o world.Object) bool {
				return o.GetDeletionTimestamp() == nil && o.Field("status.readyReplicas") == "2"
			},
			writes: "patch deployments/worker",
			told:   "Deployment/drift/worker: was deleted by another client; it is again as Git says",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			posts := posts.in(t)
			production := posts.Environment("main")
			before, began := production.Contents(), time.Now()
			test.do(production)
			production.AwaitObject(test.object, "is put back", test.again)
			production.Becomes("Healthy", commit)
			production.AwaitEvent("Corrected", test.told)
			posts.expectWrites(began, test.writes)
			if changed := before.Changed(production.Contents()); len(changed) != 1 || changed[0] != test.object {
				t.Errorf("it changed %q, want %s", changed, test.object)
			}
		})
	}
	counted := fmt.Sprintf(`berth_corrections_total{entry="production",repository="drift"} %d`, len(tests))
	if page := reads(t, metrics+"/metrics"); !strings.Contains(page, counted) {
		t.Errorf("the metrics have no %s", counted)
	}
	t.Run("the finished migration is deleted, and does not run again", func(t *testing.T) {
		posts := posts.in(t)
		production := posts.Environment("main")
		began := time.Now()
		production.Delete("Job/migrate")
		production.AwaitGone("Job/migrate")
		world.Always(t, 2*time.Second, "the migration stays gone", func() (string, bool) {
			_, there := production.Find("Job/migrate")
			return fmt.Sprintf("there: %t", there), !there
		})
		production.Becomes("Healthy", commit)
		posts.expectWrites(began)
	})
}

// The work of a migration in a namespace is lost with the namespace.
func TestANamespaceThatIsDeletedByHandBeginsAnew(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "lost"), time.Now()
	commit := posts.pushes("main", application())
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)
	before := production.Object("Deployment/api").GetUID()

	other{t, "kubectl-delete", ""}.deletes("namespaces", "lost")
	production.AwaitObject("Deployment/api", "is re-created", func(o world.Object) bool { return o.GetUID() != before })
	production.Becomes("Healthy", commit)
	posts.expectRuns(began, "migrate", 2)
}

// Drift is reverted whatever the result of a commit; only spec.suspend pauses that.
func TestOnlySuspendPausesCorrections(t *testing.T) {
	t.Parallel()
	posts := begins(t, "only-suspend", rollsBack)
	production := posts.Environment("main")
	drifts := func(what string) {
		t.Helper()
		production.Patch("Deployment/worker", `{"spec":{"replicas":5}}`)
		production.AwaitObject("Deployment/worker", "is put back "+what, func(o world.Object) bool { return o.Field("spec.replicas") == "2" })
	}
	first := posts.pushes("main", application())
	production.Becomes("Healthy", first)
	second := posts.pushes("main", code("second"))
	production.Becomes("Healthy", second)

	posts.says("main", "pin", first)
	drifts("while an older commit is pinned")
	posts.says("main", "pin", "--unpin")
	bad := posts.pushes("main", map[string]string{"k8s/api.yaml": broken(deployment("api", "")) + service("api")})
	production.Becomes("RolledBack", bad)
	drifts("after a rollback")
	unreadable := posts.pushes("main", map[string]string{"k8s/api.yaml": "kind: ["})
	production.Becomes("Failed", unreadable, "k8s/api.yaml")
	drifts("while the commit cannot be read")

	posts.says("main", "suspend")
	production.Patch("ConfigMap/common", `{"data":{"HOST":"by.hand"}}`)
	production.Delete("Service/api")
	production.Becomes("Suspended", unreadable, "left as it is while spec.suspend is true")
	healed := posts.pushes("main", map[string]string{"k8s/api.yaml": application()["k8s/api.yaml"]})
	production.Becomes("Suspended", healed)
	if got := production.Object("ConfigMap/common").Field("data.HOST"); got != "by.hand" {
		t.Errorf("HOST is %q while the environment is suspended", got)
	}
	if _, there := production.Find("Service/api"); there {
		t.Error("what was deleted by hand is back while the environment is suspended")
	}
	posts.says("main", "resume")
	production.Becomes("Healthy", healed)
	if got := production.Object("ConfigMap/common").Field("data.HOST"); got != "posts.example.com" {
		t.Errorf("HOST is %q afterwards", got)
	}
}

// A kind that cannot be watched is reported, and affects only its own objects.
func TestAKindThatCannotBeWatched(t *testing.T) {
	t.Parallel()
	const group = "unwatched.example.com"
	installs(t, definition(group))
	posts := begins(t, "unwatched")
	production := posts.Environment("main")
	commit := posts.pushes("main", with(application(), "k8s/db.yaml", databases(group, "main", "1")))
	production.AwaitUnhealthy("Database/main", "cannot be seen by the agent: cannot watch Database."+group, "let the agent watch it")
	production.AwaitObject("Deployment/worker", "is there all the same", func(o world.Object) bool { return o.Field("status.readyReplicas") == "2" })
	production.Patch("Deployment/api", `{"spec":{"replicas":5}}`)
	production.AwaitObject("Deployment/api", "is put back all the same", func(o world.Object) bool { return o.Field("spec.replicas") == "2" })
	side := posts.branches("side", map[string]string{"k8s/db.yaml": configMap("in-its-place", "A: b")})
	posts.Environment("side").Becomes("Healthy", side)

	installs(t, rights(group))
	production.Becomes("Healthy", commit)
}
