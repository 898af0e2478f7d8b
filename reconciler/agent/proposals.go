package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/proposals"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/reconciler/stores"
)

// addProposals adds what plans merge requests. It has stores of its own: a fetch of what a merge request brings never delays
// that of a branch.
func (a *Agent) addProposals(store *stores.Set) error {
	trees := mergeTrees{agent: a, stores: store}
	drafter := proposals.NewDrafter(proposals.DrafterConfig{
		Environment: func(ctx context.Context, s proposals.Subject) (reconciler.Environment, error) {
			return a.environments.Unkeyed(ctx, types.NamespacedName{Namespace: s.Repository.Namespace, Name: s.Environment})
		},
		Trees:  trees.of,
		Passes: a.passesOf,
	})
	planner := proposals.NewPlanner(proposals.PlannerConfig{
		Draft: drafter.Draft, Done: a.feedback.Planned, Now: a.Now,
		Panicked: func(w proposals.Want, why any, stack []byte) {
			a.Log.Error("planning a merge request failed", "repository", w.Repository.Name, "mergeRequest", w.Number, "commit", w.Commit, "panic", fmt.Sprintf("%T", why), "stack", string(stack)) // its text may quote an object
		},
	})
	a.feedback.Plans = planner
	return a.mgr.Add(manager.RunnableFunc(planner.Start))
}

// passesOf returns what makes the passes of an environment.
func (a *Agent) passesOf(ctx context.Context, e reconciler.Environment) (proposals.Passes, error) {
	passes, why := a.fleet.Find(ctx, e.Cluster)
	if passes == nil {
		return nil, errors.New(cmp.Or(why, "the cluster "+e.Cluster+" is not connected yet"))
	}
	return passes, nil
}

// mergeTrees reads the commits of merge requests.
type mergeTrees struct {
	agent  *Agent
	stores *stores.Set
}

// of returns the trees of commits, all of which the server has to send.
func (m mergeTrees) of(ctx context.Context, s proposals.Subject, commits ...string) ([]render.Tree, error) {
	repo := &v1alpha1.Repository{}
	if err := m.agent.mgr.GetClient().Get(ctx, s.Repository, repo); err != nil {
		return nil, err
	}
	repo = repo.DeepCopy()
	repo.Name = stores.ForMergeRequests(repo.Name)
	if _, _, err := m.stores.Open(ctx, repo); err != nil {
		return nil, err
	}
	if _, err := m.stores.RenewIfGrown(ctx, repo.Name, commits[:1]); err != nil {
		return nil, err
	}
	if err := m.stores.Fetch(ctx, repo.Name, commits...); err != nil {
		return nil, fmt.Errorf("reading the commits of merge request %d: %w", s.Number, err)
	}
	trees := make([]render.Tree, 0, len(commits))
	for _, commit := range commits {
		tree, err := m.stores.Snapshot(ctx, repo.Name, commit)
		if err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
	return trees, nil
}
