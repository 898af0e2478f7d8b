package scenarios

import (
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// dependent is a Deployment that depends on the worker.
func dependent(name string) string {
	return strings.Replace(deployment(name, ""), "  name: "+name+"\n", "  name: "+name+"\n  annotations: {config.kubernetes.io/depends-on: Deployment/worker}\n", 1)
}

// held is the finalizer that blocks the deletion of an object.
const held = "example.com/held"

// expectThere fails the test if one of the objects is gone or being deleted.
func expectThere(t *testing.T, e *world.Environment, names ...string) {
	t.Helper()
	for _, name := range names {
		if object, there := e.Find(name); !there || object.GetDeletionTimestamp() != nil {
			t.Errorf("%s is gone, or on its way", name)
		}
	}
}

func TestWhatLeavesGitGoesInReverseOrder(t *testing.T) {
	t.Parallel()
	posts := begins(t, "leaves")
	files := with(application(), "k8s/front.yaml", dependent("front"), "k8s/settings.yaml", configMap("settings", "A: b"))
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", files))
	production.Patch("Deployment/front", `{"metadata":{"finalizers":["`+held+`"]}}`)

	commit := posts.removes("main", "k8s/front.yaml", "k8s/worker.yaml", "k8s/settings.yaml")
	production.Becomes("Healthy", commit, "cannot delete Deployment/front", held)
	expectThere(t, production, "Deployment/worker", "ConfigMap/settings")
	production.Patch("Deployment/front", `{"metadata":{"finalizers":null}}`)
	for _, name := range []string{"Deployment/front", "Deployment/worker", "ConfigMap/settings"} {
		production.AwaitGone(name)
	}
}

// An environment in a namespace that Berth did not create is deleted object by object.
func TestAnEnvironmentGoesInReverseOrder(t *testing.T) {
	t.Parallel()
	posts := prepares(t, "ends")
	other{t, "kubectl-create", ""}.creates("namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: ends-shared}}")
	posts.followed(func(r *v1alpha1.Repository) {
		review := &r.Spec.Environments[1]
		review.Branches, review.Namespace, review.OnRemoval = []v1alpha1.BranchPattern{"side"}, "ends-shared", v1alpha1.RemovalDelete
		review.Variables, review.Link = r.Spec.Environments[0].Variables, ""
	})
	production, side := posts.Environment("main"), posts.Environment("side")
	production.Becomes("Healthy", posts.pushes("main", application()))
	side.Becomes("Healthy", posts.branches("side", map[string]string{"k8s/front.yaml": dependent("front")}))
	side.Patch("Deployment/front", `{"metadata":{"finalizers":["`+held+`"]}}`)

	posts.git.Delete("side")
	side.AwaitObject("Deployment/front", "is on its way", func(o world.Object) bool { return o.GetDeletionTimestamp() != nil })
	side.AwaitGone("Deployment/api")
	expectThere(t, side, "Deployment/worker", "ConfigMap/common")
	side.Patch("Deployment/front", `{"metadata":{"finalizers":null}}`)
	world.Await(t, "the environment of side is gone", func() (string, bool) {
		environment, there := side.Get()
		return world.Line(environment), !there
	})
	for _, name := range []string{"Deployment/worker", "ConfigMap/common", "Service/api", "Job/migrate"} {
		side.AwaitGone(name)
	}
	if phase, there, err := shared.Namespace(t.Context(), "ends-shared"); err != nil || !there {
		t.Errorf("the namespace that was there before is %q, there: %t, %v", phase, there, err)
	}
}
