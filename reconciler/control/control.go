// Package control holds what both controllers share: requests from outside their watches, the back-off of retries, and
// functions that read each other's objects.
package control

import (
	"context"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"berth.dev/berth/api/v1alpha1"
)

// An object that failed is retried with increasing delays.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Minute
)

// Backoff returns the rate limiter with which a controller retries.
func Backoff() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry)
}

// Asked selects events that require work: a change of the spec, a user's request, or a deletion. It drops the agent's own
// status writes.
var Asked = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})

// Inbox requeues objects from outside a controller's watches. Requests that come before the controller runs are dropped,
// because a controller starts with all objects.
type Inbox struct {
	queue *atomic.Pointer[workqueue.TypedRateLimitingInterface[reconcile.Request]]
}

// NewInbox returns an Inbox without a reader.
func NewInbox() Inbox {
	return Inbox{queue: &atomic.Pointer[workqueue.TypedRateLimitingInterface[reconcile.Request]]{}}
}

// Source returns the source with which a controller reads the Inbox.
func (i Inbox) Source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		i.queue.Store(&queue)
		return nil
	})
}

// Add requeues an object without blocking.
func (i Inbox) Add(name types.NamespacedName) {
	if queue := i.queue.Load(); queue != nil {
		(*queue).Add(reconcile.Request{NamespacedName: name})
	}
}

// After returns a source without events, which keeps a controller from starting until wait returns.
func After(wait func(context.Context) error) source.SyncingSource { return after(wait) }

type after func(context.Context) error

// Start does nothing.
func (after) Start(context.Context, workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	return nil
}

// WaitForSync returns when the controller may start.
func (a after) WaitForSync(ctx context.Context) error { return a(ctx) }

// Environments returns the Environments of a Repository from a client's cache. Callers must not change them.
func Environments(ctx context.Context, c client.Reader, repo types.NamespacedName) ([]v1alpha1.Environment, error) {
	var list v1alpha1.EnvironmentList
	err := c.List(ctx, &list, client.InNamespace(repo.Namespace), client.MatchingLabels{v1alpha1.LabelRepository: repo.Name}, client.UnsafeDisableDeepCopy)
	return list.Items, err
}

// KindIsGoing reports whether the CustomResourceDefinition of one of Berth's kinds is deleted or being deleted. Its objects
// are then deleted with it, and not because a user wants to remove their environments.
func KindIsGoing(ctx context.Context, reader client.Reader, plural string) (bool, error) {
	crd := &metav1.PartialObjectMetadata{}
	crd.APIVersion, crd.Kind = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
	err := reader.Get(ctx, types.NamespacedName{Name: plural + "." + v1alpha1.GroupVersion.Group}, crd)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return !crd.DeletionTimestamp.IsZero(), err
}
