package preview

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"berth.dev/berth/api/v1alpha1"
)

func TestARepositoryIsNotWokenByWhatItCallsFor(t *testing.T) {
	repo := repository()
	heads := map[string]string{"main": commit("a"), "f": commit("b")}
	for _, test := range []struct {
		name   string
		change func(*v1alpha1.Environment)
		want   bool
	}{
		{"the new head of its branch", func(env *v1alpha1.Environment) { env.Spec.Commit = heads["f"] }, false},
		{"a person's pin", func(env *v1alpha1.Environment) { env.Spec.Commit, env.Spec.Pin = heads["f"], commit("c") }, false},
		{"another head", func(env *v1alpha1.Environment) { env.Spec.Commit = commit("c") }, true},
		{"what its entry does not say", func(env *v1alpha1.Environment) { env.Spec.OnRemoval = v1alpha1.RemovalOrphan }, true},
		{"a request", func(env *v1alpha1.Environment) {
			env.Spec.Commit = heads["f"]
			annotate(env, v1alpha1.AnnotationConfirmed, "1")
		}, true},
		{"a deletion", func(env *v1alpha1.Environment) { env.Spec.Commit = heads["f"]; deleted(env) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRepositories(RepositoriesConfig{})
			before := environment(repo, "review", "f")
			after := before.DeepCopy()
			test.change(after)
			updated := event.UpdateEvent{ObjectOld: &before, ObjectNew: after}
			if !r.notCalledFor().Update(updated) {
				t.Error("it counts as called for before anything is")
			}
			r.call(repo.Name, want(repo, heads).list)
			if got := r.notCalledFor().Update(updated); got != test.want {
				t.Errorf("woken: %t, want %t", got, test.want)
			}
		})
	}
}
