package environments

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/control"
)

// atOnce is how many Environments are reconciled at the same time. An API server creates Services one after the other,
// because it allocates their addresses. With many more workers, the Services of all environments would queue there, and
// delay every Deployment.
const atOnce = 12

// SetUp registers the controller with a manager, and connects the Requeues to it.
func (e *Controller) SetUp(mgr ctrl.Manager, requeues *Requeues) error {
	requeues.name = e.Name
	e.crews.logger = mgr.GetLogger()
	if err := mgr.Add(manager.RunnableFunc(e.crews.run)); err != nil {
		return err
	}
	reader := mgr.GetClient()
	return ctrl.NewControllerManagedBy(mgr).
		Named("environment").
		For(&v1alpha1.Environment{}, builder.WithPredicates(control.Asked)).
		Watches(&v1alpha1.Repository{}, handler.EnqueueRequestsFromMapFunc(environmentsOf(reader)), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(environmentsWith(reader))).
		WatchesRawSource(requeues.Source()).
		WatchesRawSource(control.After(e.Fleet.Home.Cluster.Watches.WaitForNamespaces)).
		WithOptions(controller.Options{MaxConcurrentReconciles: atOnce, RateLimiter: control.Backoff()}).
		Complete(e.Pulse.Of(e))
}

// environmentsWith returns the Environments whose entries copy a Secret or decrypt with it, and those of the cluster whose
// kubeconfig it has.
func environmentsWith(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, secret client.Object) (requests []reconcile.Request) {
		var list v1alpha1.RepositoryList
		if err := c.List(ctx, &list, client.InNamespace(secret.GetNamespace())); err != nil {
			return nil // the cache answers, and cannot fail
		}
		requests = inCluster(ctx, c, client.ObjectKeyFromObject(secret))
		for i := range list.Items {
			if slices.ContainsFunc(list.Items[i].Spec.Environments, func(entry v1alpha1.Entry) bool { return reads(entry, secret.GetName()) }) {
				requests = append(requests, environmentsOf(c)(ctx, &list.Items[i])...)
			}
		}
		return requests
	}
}

func reads(entry v1alpha1.Entry, secret string) bool {
	keys := entry.Decryption
	return keys != nil && keys.SecretRef != nil && keys.SecretRef.Name == secret ||
		slices.Contains(entry.CopySecrets, v1alpha1.SecretReference{Name: secret})
}

func environmentsOf(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, repo client.Object) []reconcile.Request {
		all, err := control.Environments(ctx, c, client.ObjectKeyFromObject(repo))
		if err != nil {
			return nil // the cache answers, and cannot fail
		}
		requests := make([]reconcile.Request, 0, len(all))
		for i := range all {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all[i])})
		}
		return requests
	}
}
