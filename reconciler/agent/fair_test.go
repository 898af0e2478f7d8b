package agent

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/reconciler/branches"
)

// A repository with many branches that never become ready holds all turns. The next free turn goes to another
// repository.
func TestASmallRepositoryDoesNotWaitForAHugeOne(t *testing.T) {
	w := newWorld(t)
	w.agent.stop()
	w.syncAtOnce = 2
	w.start()
	names := numbered(8)
	for _, name := range names {
		w.code.CommitFrom("main", name, map[string]string{"infra/k8s/slow.yaml": pendingPod}, "never ready")
	}
	w.follow()
	being := func(reason string) (found []string) {
		for _, env := range w.environments() {
			if env.Spec.Repository == "posts" && branches.IsReason(&env, reason) {
				found = append(found, env.Spec.Branch)
			}
		}
		return found
	}
	w.eventually("all turns are taken", func() bool {
		return len(being(v1alpha1.ReasonSyncing)) == 2 && len(being(v1alpha1.ReasonQueued)) == len(names)-2
	})

	small := w.git.Repository("acme/small")
	small.Commit("login", content("small"), "begin")
	w.create(&v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: w.namespace},
		Spec: v1alpha1.RepositorySpec{URL: small.URL(), Poll: "@every 24h", Environments: []v1alpha1.Entry{
			{Name: "review", Branches: []v1alpha1.BranchPattern{"**"}, Path: "infra/k8s", Namespace: w.namespace + "-small-${BRANCH_SLUG}"},
		}},
	})
	w.becomes("login", v1alpha1.ReasonQueued)
	waited := being(v1alpha1.ReasonQueued)
	w.code.Change(being(v1alpha1.ReasonSyncing)[0], "give up", gittest.Remove("infra/k8s/slow.yaml"))
	w.poll()
	w.becomes("login", v1alpha1.ReasonHealthy)
	if still := being(v1alpha1.ReasonQueued); len(still) < len(waited)-1 || slices.Contains(still, "login") {
		t.Errorf("%q waited before, and %q after one turn was given", waited, still)
	}
}
