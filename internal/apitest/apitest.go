// Package apitest creates Repositories and Environments for tests, as the agent would write them.
package apitest

import (
	"cmp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// Noon is the time at which tests of decisions take place.
var Noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

// Commit returns a full commit id that repeats a text.
func Commit(text string) string { return strings.Repeat(text, 40)[:40] }

// Repository returns a Repository with the entries production (from main) and review (from all other branches),
// after the given changes.
func Repository(change ...func(*v1alpha1.Repository)) *v1alpha1.Repository {
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

// Environment returns the Environment of a branch at the commit aaaa…, after the given changes. It panics if the
// Repository has no such entry, or if the entry does not match the branch.
func Environment(repo *v1alpha1.Repository, entry, branch string, change ...func(*v1alpha1.Environment)) v1alpha1.Environment {
	for i := range repo.Spec.Environments {
		e := &repo.Spec.Environments[i]
		patterns, err := naming.CompilePatterns(e.Branches)
		if e.Name != entry || err != nil || !patterns.Match(branch) {
			continue
		}
		env := written(repo, e, patterns, branch)
		for _, f := range change {
			f(&env)
		}
		return env
	}
	panic("the entry " + entry + " does not match the branch " + branch)
}

func written(repo *v1alpha1.Repository, entry *v1alpha1.Entry, patterns naming.Patterns, branch string) v1alpha1.Environment {
	removal, finalizers := v1alpha1.RemovalDelete, []string{v1alpha1.FinalizerTeardown}
	if patterns.Literal() {
		removal = v1alpha1.RemovalOrphan
	}
	removal = cmp.Or(entry.OnRemoval, removal)
	if removal != v1alpha1.RemovalDelete {
		finalizers = nil
	}
	name := naming.Environment(repo.Name, entry.Name, branch)
	return v1alpha1.Environment{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: repo.Namespace, UID: types.UID(name), Finalizers: finalizers,
			Labels: map[string]string{v1alpha1.LabelRepository: repo.Name, v1alpha1.LabelEntry: entry.Name},
		},
		Spec: v1alpha1.EnvironmentSpec{
			Repository: repo.Name, Entry: entry.Name, Agent: entry.Agent, Branch: branch, Cluster: naming.Cluster(entry), Namespace: naming.Namespace(entry.Namespace, branch),
			ServiceAccountName: entry.ServiceAccountName, OnRemoval: removal, Commit: Commit("a"),
		},
	}
}

// Deleted gives an Environment a deletion timestamp at noon.
func Deleted(env *v1alpha1.Environment) { env.DeletionTimestamp = &metav1.Time{Time: Noon} }

// Reason returns a change that sets the reason of an Environment's Ready condition.
func Reason(reason string) func(*v1alpha1.Environment) {
	return func(env *v1alpha1.Environment) {
		env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}}
	}
}
