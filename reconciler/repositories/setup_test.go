package repositories

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/branches"
)

func TestARepositoryIsNotWokenByWhatItCallsFor(t *testing.T) {
	repo := apitest.Repository()
	heads := map[string]string{"main": apitest.Commit("a"), "f": apitest.Commit("b")}
	for _, test := range []struct {
		name   string
		change func(*v1alpha1.Environment)
		want   bool
	}{
		{"the new head of its branch", func(env *v1alpha1.Environment) { env.Spec.Commit = heads["f"] }, false},
		{"a person's pin", func(env *v1alpha1.Environment) { env.Spec.Commit, env.Spec.Pin = heads["f"], apitest.Commit("c") }, false},
		{"another head", func(env *v1alpha1.Environment) { env.Spec.Commit = apitest.Commit("c") }, true},
		{"what its entry does not say", func(env *v1alpha1.Environment) { env.Spec.OnRemoval = v1alpha1.RemovalOrphan }, true},
		{"a request", func(env *v1alpha1.Environment) {
			env.Spec.Commit = heads["f"]
			env.Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "1"}
		}, true},
		{"a deletion", func(env *v1alpha1.Environment) { env.Spec.Commit = heads["f"]; apitest.Deleted(env) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := New(Config{})
			before := apitest.Environment(repo, "review", "f")
			after := before.DeepCopy()
			test.change(after)
			updated := event.UpdateEvent{ObjectOld: &before, ObjectNew: after}
			if !r.notCalledFor().Update(updated) {
				t.Error("it counts as called for before anything is")
			}
			r.call(repo.Name, branches.Want(repo, heads).List)
			if got := r.notCalledFor().Update(updated); got != test.want {
				t.Errorf("requeued: %t, want %t", got, test.want)
			}
		})
	}
}
