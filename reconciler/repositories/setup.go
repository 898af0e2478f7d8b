package repositories

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/control"
)

// atOnce is how many Repositories are reconciled at the same time. A slow Git server blocks one of them.
const atOnce = 16

// SetUp registers the controller with a manager.
func (r *Controller) SetUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("repository").
		For(&v1alpha1.Repository{}, builder.WithPredicates(control.Asked)).
		// An Environment that was deleted or changed may have to be restored.
		Watches(&v1alpha1.Environment{}, handler.EnqueueRequestsFromMapFunc(repositoryOf), builder.WithPredicates(control.Asked, notNew, r.notCalledFor())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(repositoriesWith(mgr.GetClient()))).
		WatchesRawSource(r.inbox.Source()).
		WatchesRawSource(control.After(r.Fleet.Home.Cluster.Watches.WaitForNamespaces)).
		WithOptions(controller.Options{MaxConcurrentReconciles: atOnce, RateLimiter: control.Backoff()}).
		Complete(r.Pulse.Of(r))
}

// notNew drops the creation of Environments, which only the agent makes.
var notNew = predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }}

// notCalledFor drops events that leave an Environment as its repository wants it, such as the agent's own writes.
func (r *Controller) notCalledFor() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		env, ok := e.ObjectNew.(*v1alpha1.Environment)
		if !ok || !env.DeletionTimestamp.IsZero() || !maps.Equal(e.ObjectOld.GetAnnotations(), env.Annotations) {
			return true
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		w, called := r.called[env.Spec.Repository][env.Name]
		return !called || !upToDate(env, w)
	}}
}

// repositoriesWith returns the Repositories that read credentials from a Secret: for Git, the forge or a cluster.
func repositoriesWith(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, secret client.Object) (requests []reconcile.Request) {
		var list v1alpha1.RepositoryList
		if err := c.List(ctx, &list, client.InNamespace(secret.GetNamespace())); err != nil {
			return nil // the cache answers, and cannot fail
		}
		for i := range list.Items {
			spec := &list.Items[i].Spec
			if ref := spec.SecretRef; ref != nil && ref.Name == secret.GetName() || spec.Feedback != nil && spec.Feedback.SecretRef.Name == secret.GetName() || namesCluster(&list.Items[i], secret.GetName()) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
		return requests
	}
}

func repositoryOf(_ context.Context, o client.Object) []reconcile.Request {
	env, ok := o.(*v1alpha1.Environment)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}}}
}
