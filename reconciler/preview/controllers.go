package preview

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
)

// What may go on at once: a slow Git server holds one place, an environment's writes hold one. An API
// server makes Services one after the other, because it hands out their addresses: with many more places
// those of all environments wait there together, and no Deployment begins before them.
const (
	repositoriesAtOnce = 16
	environmentsAtOnce = 12
)

// After an error a pass is tried again, later each time.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Minute
)

func retries() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry)
}

// asked lets through what changes what is to be done: the spec, a person's request, a deletion. The
// agent's own status writes are not among it.
var asked = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})

// SetUp registers both controllers with a manager, and connects wakes to them: the ids that it delivers
// are passed over.
func SetUp(ctx context.Context, mgr ctrl.Manager, repos *Repositories, envs *Environments, wakes *Wakes) error {
	reader := mgr.GetClient()
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := mgr.GetFieldIndexer().IndexField(ctx, namespace, indexRepository, repos.repositoryIn); err != nil {
		return err
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("repository").
		For(&v1alpha1.Repository{}, builder.WithPredicates(asked)).
		// An Environment that went, or that somebody changed, is made what it should be.
		Watches(&v1alpha1.Environment{}, handler.EnqueueRequestsFromMapFunc(repositoryOf), builder.WithPredicates(asked, notNew, repos.notCalledFor())).
		// A namespace of ours may be all that is left of an Environment.
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(repos.ownersOf), builder.WithPredicates(appeared)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(repositoriesWith(reader))).
		WatchesRawSource(source.Func(repos.start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: repositoriesAtOnce, RateLimiter: retries()}).
		Complete(repos)
	if err != nil {
		return err
	}
	wakes.name = envs.Name
	return ctrl.NewControllerManagedBy(mgr).
		Named("environment").
		For(&v1alpha1.Environment{}, builder.WithPredicates(asked)).
		Watches(&v1alpha1.Repository{}, handler.EnqueueRequestsFromMapFunc(environmentsOf(reader)), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(environmentsWith(reader))).
		WatchesRawSource(source.Func(wakes.start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: environmentsAtOnce, RateLimiter: retries()}).
		Complete(envs)
}

// notNew drops the creation of Environments, which only the agent makes.
var notNew = predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }}

// notCalledFor drops what makes an Environment what its repository calls for, as the agent's own writes do.
func (r *Repositories) notCalledFor() predicate.Predicate {
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

// appeared lets through namespaces that are there and stay: what becomes of others is no news.
var appeared = predicate.Funcs{
	DeleteFunc: func(event.DeleteEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetLabels()[branches.LabelEnvironment] != e.ObjectNew.GetLabels()[branches.LabelEnvironment]
	},
}

// ownersOf finds the Repository of a namespace of ours whose Environment is lost. The others need nothing,
// and every new environment brings one.
func (r *Repositories) ownersOf(ctx context.Context, o client.Object) []reconcile.Request {
	ns, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return nil
	}
	name, spec, ours := branches.OwnerOf(ns, r.Installation)
	if !ours || spec.OnRemoval != v1alpha1.RemovalDelete {
		return nil
	}
	if err := r.Client.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: name}, &v1alpha1.Environment{}); err == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: r.Namespace, Name: spec.Repository}}}
}

// repositoriesWith finds the Repositories that read their credentials from a Secret.
func repositoriesWith(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, secret client.Object) (requests []reconcile.Request) {
		var list v1alpha1.RepositoryList
		if err := c.List(ctx, &list, client.InNamespace(secret.GetNamespace())); err != nil {
			return nil // the cache answers, and has nothing to fail at
		}
		for i := range list.Items {
			if ref := list.Items[i].Spec.SecretRef; ref != nil && ref.Name == secret.GetName() {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
		return requests
	}
}

// environmentsWith finds the Environments whose entries copy a Secret or decrypt with it.
func environmentsWith(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, secret client.Object) (requests []reconcile.Request) {
		var list v1alpha1.RepositoryList
		if err := c.List(ctx, &list, client.InNamespace(secret.GetNamespace())); err != nil {
			return nil // the cache answers, and has nothing to fail at
		}
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

func repositoryOf(_ context.Context, o client.Object) []reconcile.Request {
	env, ok := o.(*v1alpha1.Environment)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}}}
}

func environmentsOf(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, repo client.Object) []reconcile.Request {
		var list v1alpha1.EnvironmentList
		if err := c.List(ctx, &list, client.InNamespace(repo.GetNamespace()), client.MatchingLabels{v1alpha1.LabelRepository: repo.GetName()}); err != nil {
			return nil // the cache answers, and has nothing to fail at
		}
		requests := make([]reconcile.Request, 0, len(list.Items))
		for i := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
		return requests
	}
}

// inbox takes what is to be passed over from outside a controller. What comes before the controller runs is dropped:
// it begins with everything there is.
type inbox struct {
	queue *atomic.Pointer[workqueue.TypedRateLimitingInterface[reconcile.Request]]
}

func newInbox() inbox {
	return inbox{queue: &atomic.Pointer[workqueue.TypedRateLimitingInterface[reconcile.Request]]{}}
}

func (i inbox) start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	i.queue.Store(&queue)
	return nil
}

func (i inbox) add(name types.NamespacedName) {
	if queue := i.queue.Load(); queue != nil {
		(*queue).Add(reconcile.Request{NamespacedName: name})
	}
}

// Wakes carries word of changes in the cluster to the controller of Environments.
type Wakes struct {
	inbox
	name func(id string) (types.NamespacedName, bool)
}

// NewWakes returns Wakes that SetUp connects.
func NewWakes() *Wakes { return &Wakes{inbox: newInbox()} }

// Wake asks for a pass over the environment whose objects bear the id. It does not wait.
func (w *Wakes) Wake(id string) {
	if name, ok := w.name(id); ok {
		w.Add(name)
	}
}

// Add asks for a pass over an Environment. It does not wait.
func (w *Wakes) Add(name types.NamespacedName) { w.add(name) }
