package repositories

import (
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/branches"
)

func TestUpToDate(t *testing.T) {
	repo := apitest.Repository()
	w := branches.Want(repo, map[string]string{"f0": apitest.Commit("a")}).List[0]
	for _, test := range []struct {
		name   string
		change func(*v1alpha1.Environment)
		want   bool
	}{
		{"as the agent wrote it", func(*v1alpha1.Environment) {}, true},
		{"a person's pin and suspension", func(env *v1alpha1.Environment) { env.Spec.Pin, env.Spec.Suspend = apitest.Commit("b"), true }, true},
		{"a person's labels and finalizers", func(env *v1alpha1.Environment) {
			env.Labels["team"] = "web"
			env.Finalizers = append(env.Finalizers, "example.com/keep")
		}, true},
		{"an older commit", func(env *v1alpha1.Environment) { env.Spec.Commit = apitest.Commit("b") }, false},
		{"another policy", func(env *v1alpha1.Environment) { env.Spec.OnRemoval = v1alpha1.RemovalOrphan }, false},
		{"without the label that selects it", func(env *v1alpha1.Environment) { delete(env.Labels, v1alpha1.LabelRepository) }, false},
		{"without its finalizer", func(env *v1alpha1.Environment) { env.Finalizers = nil }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := apitest.Environment(repo, "review", "f0", test.change)
			if got := upToDate(&env, w); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
