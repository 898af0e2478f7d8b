package preview

import (
	"context"

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
)

// What may go on at once: a slow Git server holds one place, an environment's writes hold one.
const (
	repositoriesAtOnce = 16
	environmentsAtOnce = 8
)

// asked lets through what changes what is to be done: the spec, a person's request, a deletion. The
// agent's own status writes are not among it.
var asked = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})

// SetUp registers both controllers with a manager, and connects wakes to them: the ids that it delivers
// are passed over.
func SetUp(mgr ctrl.Manager, repos *Repositories, envs *Environments, wakes *Wakes) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("repository").
		For(&v1alpha1.Repository{}, builder.WithPredicates(asked)).
		// An Environment that went, or that somebody changed, is made what it should be.
		Watches(&v1alpha1.Environment{}, handler.EnqueueRequestsFromMapFunc(repositoryOf), builder.WithPredicates(predicate.And[client.Object](asked, notNew))).
		WithOptions(controller.Options{MaxConcurrentReconciles: repositoriesAtOnce}).
		Complete(repos)
	if err != nil {
		return err
	}
	wakes.name = envs.Name
	return ctrl.NewControllerManagedBy(mgr).
		Named("environment").
		For(&v1alpha1.Environment{}, builder.WithPredicates(asked)).
		Watches(&v1alpha1.Repository{}, handler.EnqueueRequestsFromMapFunc(environmentsOf(mgr.GetClient())), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Func(wakes.start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: environmentsAtOnce}).
		Complete(envs)
}

// notNew drops the creation of Environments, which only the agent makes.
var notNew = predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }}

func repositoryOf(_ context.Context, o client.Object) []reconcile.Request {
	env, ok := o.(*v1alpha1.Environment)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}}}
}

func environmentsOf(c client.Client) handler.MapFunc {
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

// Wakes carries word of changes in the cluster to the controller of Environments.
type Wakes struct {
	name  func(id string) (types.NamespacedName, bool)
	queue chan workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// NewWakes returns Wakes that SetUp connects.
func NewWakes() *Wakes {
	return &Wakes{queue: make(chan workqueue.TypedRateLimitingInterface[reconcile.Request], 1)}
}

func (w *Wakes) start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.queue <- queue
	return nil
}

// Wake asks for a pass over the environment whose objects bear the id. It does not wait.
func (w *Wakes) Wake(id string) {
	if name, ok := w.name(id); ok {
		w.Add(name)
	}
}

// Add asks for a pass over an Environment. It does not wait.
func (w *Wakes) Add(name types.NamespacedName) {
	queue := <-w.queue
	w.queue <- queue
	queue.Add(reconcile.Request{NamespacedName: name})
}
