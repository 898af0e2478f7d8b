package scenarios

import (
	"fmt"
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
	}{
		{
			name:   "a Deployment is scaled",
			do:     func(production *world.Environment) { production.Patch("Deployment/api", `{"spec":{"replicas":5}}`) },
			object: "Deployment/api",
			again:  func(o world.Object) bool { return o.Field("spec.replicas") == "2" },
			writes: "patch deployments/api",
		},
		{
			name: "a value is edited",
			do: func(production *world.Environment) {
				production.Patch("ConfigMap/common", `{"data":{"HOST":"by.hand"}}`)
			},
			object: "ConfigMap/common",
			again:  func(o world.Object) bool { return o.Field("data.HOST") == "posts.example.com" },
			writes: "patch configmaps/common",
		},
		{
			name:   "an object is deleted",
			do:     func(production *world.Environment) { production.Delete("Service/api") },
			object: "Service/api",
			again:  func(o world.Object) bool { return o.GetDeletionTimestamp() == nil },
			writes: "patch services/api",
		},
		{
			name: "the label is removed",
			do: func(production *world.Environment) {
				production.Patch("ConfigMap/common", `{"metadata":{"labels":{"berth.dev/environment":null}}}`)
			},
			object: "ConfigMap/common",
			again:  func(o world.Object) bool { return o.GetLabels()["berth.dev/environment"] == label },
			writes: "patch configmaps/common",
		},
		{
			name:   "a Deployment is deleted",
			do:     func(production *world.Environment) { production.Delete("Deployment/worker") },
			object: "Deployment/worker",
			again: func(o world.Object) bool {
				return o.GetDeletionTimestamp() == nil && o.Field("status.readyReplicas") == "2"
			},
			writes: "patch deployments/worker",
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
			posts.expectWrites(began, test.writes)
			if changed := before.Changed(production.Contents()); len(changed) != 1 || changed[0] != test.object {
				t.Errorf("it changed %q, want %s", changed, test.object)
			}
		})
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

// What a migration did in a namespace goes with it.
func TestANamespaceThatIsDeletedByHandBeginsAnew(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "lost"), time.Now()
	commit := posts.pushes("main", application())
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)
	before := production.Object("Deployment/api").GetUID()

	other{t, "kubectl-delete", ""}.deletes("namespaces", "lost")
	production.AwaitObject("Deployment/api", "is made anew", func(o world.Object) bool { return o.GetUID() != before })
	production.Becomes("Healthy", commit)
	posts.expectRuns(began, "migrate", 2)
}
