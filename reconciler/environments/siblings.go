package environments

import (
	"cmp"
	"context"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/naming"
)

// siblingsIn returns the other Environments in an Environment's namespace of the same cluster. Those of the same branch get this one's commit,
// although the Repository's controller may write it to them a moment later.
func (e *Controller) siblingsIn(ctx context.Context, env *v1alpha1.Environment) []reconciler.Sibling {
	var all v1alpha1.EnvironmentList
	if err := e.Client.List(ctx, &all, client.InNamespace(env.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil // the cache answers, and cannot fail
	}
	var siblings []reconciler.Sibling
	for i := range all.Items {
		other := &all.Items[i]
		if naming.Here(other) != naming.Here(env) || other.Name == env.Name || other.Name != branches.Name(other.Spec) || !other.DeletionTimestamp.IsZero() {
			continue
		}
		commit := other.Spec.Commit
		if other.Spec.Repository == env.Spec.Repository && other.Spec.Branch == env.Spec.Branch {
			commit = env.Spec.Commit
		}
		siblings = append(siblings, reconciler.Sibling{
			ID: branches.ID(other.Spec, e.Installation), Name: other.Name, Commit: cmp.Or(other.Spec.Pin, commit),
		})
	}
	return siblings
}

// exists reports whether there is an Environment with an id in the cluster of another one, including one that is being deleted.
func (e *Controller) exists(ctx context.Context, env *v1alpha1.Environment, id string) bool {
	var all v1alpha1.EnvironmentList
	if err := e.Client.List(ctx, &all, client.InNamespace(env.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return true // in doubt, it exists: its objects must not be taken over
	}
	return slices.ContainsFunc(all.Items, func(other v1alpha1.Environment) bool {
		return other.Spec.Cluster == env.Spec.Cluster && branches.ID(other.Spec, e.Installation) == id
	})
}
