package preview

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
)

// noon is when the tests of decisions take place.
var noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

// commit returns the full id that a short text stands for.
func commit(text string) string { return strings.Repeat(text, 40)[:40] }

// repository returns a Repository of production and review, with the entries changed.
func repository(change ...func(*v1alpha1.Repository)) *v1alpha1.Repository {
	repo := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: "berth"},
		Spec: v1alpha1.RepositorySpec{
			URL:       "https://git.example.com/acme/posts.git",
			GoneAfter: metav1.Duration{Duration: 5 * time.Minute},
			Environments: []v1alpha1.Entry{
				{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"},
				{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Namespace: "posts-${BRANCH_SLUG}"},
			},
		},
	}
	for _, f := range change {
		f(repo)
	}
	return repo
}

// environment returns the Environment that the agent would have made for a branch of an entry.
func environment(repo *v1alpha1.Repository, entry, branch string, change ...func(*v1alpha1.Environment)) v1alpha1.Environment {
	for _, w := range want(repo, map[string]string{branch: commit("a")}).list {
		if w.entry.Name != entry {
			continue
		}
		env := v1alpha1.Environment{
			ObjectMeta: metav1.ObjectMeta{
				Name: w.name, Namespace: repo.Namespace, UID: types.UID(w.name),
				Labels: map[string]string{v1alpha1.LabelRepository: repo.Name, v1alpha1.LabelEntry: entry},
			},
			Spec: w.spec,
		}
		if env.Spec.OnRemoval == v1alpha1.RemovalDelete {
			env.Finalizers = []string{v1alpha1.FinalizerTeardown}
		}
		for _, f := range change {
			f(&env)
		}
		return env
	}
	panic("the entry " + entry + " does not match the branch " + branch)
}

func deleted(env *v1alpha1.Environment) { env.DeletionTimestamp = &metav1.Time{Time: noon} }

func reason(reason string) func(*v1alpha1.Environment) {
	return func(env *v1alpha1.Environment) {
		env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}}
	}
}
