package preview

import (
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

func TestUpToDate(t *testing.T) {
	repo := repository()
	w := want(repo, map[string]string{"f0": commit("a")}).list[0]
	for _, test := range []struct {
		name   string
		change func(*v1alpha1.Environment)
		want   bool
	}{
		{"as the agent wrote it", func(*v1alpha1.Environment) {}, true},
		{"a person's pin and suspension", func(env *v1alpha1.Environment) { env.Spec.Pin, env.Spec.Suspend = commit("b"), true }, true},
		{"a person's labels and finalizers", func(env *v1alpha1.Environment) {
			env.Labels["team"] = "web"
			env.Finalizers = append(env.Finalizers, "example.com/keep")
		}, true},
		{"an older commit", func(env *v1alpha1.Environment) { env.Spec.Commit = commit("b") }, false},
		{"another policy", func(env *v1alpha1.Environment) { env.Spec.OnRemoval = v1alpha1.RemovalOrphan }, false},
		{"without the label that selects it", func(env *v1alpha1.Environment) { delete(env.Labels, v1alpha1.LabelRepository) }, false},
		{"without its finalizer", func(env *v1alpha1.Environment) { env.Finalizers = nil }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := environment(repo, "review", "f0", test.change)
			if got := upToDate(&env, w); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
