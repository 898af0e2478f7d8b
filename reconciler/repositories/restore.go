package repositories

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/clusters"
)

// restore re-creates lost Environments of a Repository from their namespaces, if Berth provably created those. Evidence and
// deletion guard then apply to them as to any other. It returns warnings about the other namespaces, and about clusters that do
// not answer: the environments of other clusters do not wait for these.
func (r *Controller) restore(ctx context.Context, repo *v1alpha1.Repository, have []v1alpha1.Environment) (warnings []string, err error) {
	var errs []error
	for _, in := range r.Fleet.Usable() {
		told, err := r.restoreIn(ctx, in.Cluster, in.Made, repo, have)
		warnings = append(warnings, told...)
		if err != nil && in.Cluster.Name != "" {
			warnings, err = append(warnings, fmt.Sprintf("lost environments in %s are not re-created before the next listing: %v", branches.ClusterName(in.Cluster.Name), err)), nil
		}
		errs = append(errs, err)
	}
	return warnings, errors.Join(errs...)
}

// proof reports whether Berth created a namespace for an environment.
type proof func(ctx context.Context, environment, id string, namespace *metav1.PartialObjectMetadata) (bool, error)

// restoreIn restores those in one cluster. It gives up another cluster than the agent's own after the first error, because each
// question may take as long as readTime.
func (r *Controller) restoreIn(ctx context.Context, in *clusters.Cluster, proves proof, repo *v1alpha1.Repository, have []v1alpha1.Environment) (warnings []string, err error) {
	remainders := branches.Remainders{Cluster: in.Name, Namespaces: in.Watches.Namespaces()}
	var errs []error
	for _, l := range branches.Lost(repo.Name, r.Installation, remainders, have) {
		made, err := proves(ctx, l.Name, branches.ID(l.Spec, r.Installation), l.Namespace)
		switch {
		case err != nil:
		case !made || !l.CalledFor(repo):
			warnings = append(warnings, l.Warning())
		default:
			err = r.rewrite(ctx, repo.Namespace, in, l.Wanted)
		}
		errs = append(errs, err)
		if err != nil && in.Name != "" {
			break
		}
	}
	return warnings, errors.Join(errs...)
}

func (r *Controller) rewrite(ctx context.Context, namespace string, in *clusters.Cluster, w branches.Wanted) error {
	if confirmed, err := r.isLost(ctx, namespace, in, w); !confirmed || err != nil {
		return err
	}
	r.Log.Warn("re-creating a lost Environment from its namespace", "environment", w.Name, "namespace", w.Spec.Namespace)
	return r.Client.Apply(ctx, environmentApply(namespace, w), client.ForceOwnership, fieldOwner)
}

// readTime is how long a cluster may take to answer one question, because the other Repositories wait meanwhile.
const readTime = 5 * time.Second

// isLost reads from the API server, because the watches of namespaces and Environments may differ in age, and an Environment
// that is being deleted must not come back.
func (r *Controller) isLost(ctx context.Context, namespace string, in *clusters.Cluster, w branches.Wanted) (bool, error) {
	reading, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	ns, err := in.ReadNamespace(reading, w.Spec.Namespace)
	if err != nil || !ns.DeletionTimestamp.IsZero() {
		return false, client.IgnoreNotFound(err)
	}
	err = r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: w.Name}, &v1alpha1.Environment{})
	return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
}

// Stray requeues the Repository of a namespace whose Environment may be lost. It does not block.
func (r *Controller) Stray(namespace *metav1.PartialObjectMetadata) {
	_, spec, ours := branches.OwnerOf(namespace, r.Installation)
	if ours && spec.OnRemoval == v1alpha1.RemovalDelete {
		r.inbox.Add(types.NamespacedName{Namespace: r.Namespace, Name: spec.Repository})
	}
}
