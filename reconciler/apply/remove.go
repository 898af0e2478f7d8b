package apply

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// replace deletes an object after proving that its successor can be created.
func (r *run) replace(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	there, err := r.prove(ctx, client, s)
	if err != nil {
		return "", nil, err
	}
	if !there {
		return Replaced, nil, nil
	}
	how := metav1.DeletePropagationForeground
	if s.Orphans() {
		how = metav1.DeletePropagationOrphan
	}
	live, err := r.delete(ctx, client, s, how)
	if err != nil {
		return "", live, err
	}
	return Replaced, live, nil
}

// prove reports whether the object exists. It returns an error if the API server would not accept its successor.
func (r *run) prove(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (there bool, err error) {
	successor, err := r.marked(s.Object)
	if err != nil {
		return false, err
	}
	_, err = client.Create(ctx, successor, createOptions(metav1.DryRunAll))
	// The API server reports AlreadyExists only after validation and admission, so that is the proof. An exhausted
	// quota may be used by the old object.
	if apierrors.IsAlreadyExists(err) || isQuota(err) {
		return true, nil
	}
	return false, err
}

// remove deletes an object. If pods still run for it, it first deletes what the object controls.
func (r *run) remove(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	propagation := metav1.DeletePropagationBackground
	if runsPods(s.Key) {
		propagation = metav1.DeletePropagationForeground
	}
	live, err := r.delete(ctx, client, s, propagation)
	if err != nil {
		return "", live, err
	}
	return Deleted, live, nil
}

// delete deletes exactly the object that the plan saw. It returns the object if finalizers hold it and a watch will
// report its end, and nil otherwise.
func (r *run) delete(ctx context.Context, client dynamic.ResourceInterface, s plan.Step, how metav1.DeletionPropagation) (*observed.Object, error) {
	if s.Live == nil {
		return nil, nil
	}
	err := client.Delete(ctx, s.Key.Name, metav1.DeleteOptions{
		PropagationPolicy: &how,
		Preconditions:     &metav1.Preconditions{UID: &s.Live.UID, ResourceVersion: &s.Live.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	obj, err := client.Get(ctx, s.Key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && obj.GetUID() != s.Live.UID:
		return nil, nil
	case err != nil:
		// The deletion has begun; the watch will report its end.
		live := *s.Live
		live.Deleting, live.Health = true, health.Health{Status: health.Terminating, Message: "is being deleted"}
		return followed(live), nil
	}
	live := observed.Reduce(obj)
	return followed(live), nil
}

// followed returns an object whose end the watches will report, and nil for one without Berth's label. Creating the
// successor then shows whether the old one is gone.
func followed(live observed.Object) *observed.Object {
	if live.Environment == "" {
		return nil
	}
	return &live
}

// runsPods reports whether objects of the kind have pods that would outlive them for a while.
func runsPods(k manifest.Key) bool {
	switch k.Group {
	case "apps", "batch":
		return true
	case "":
		return k.Kind == "ReplicationController"
	}
	return false
}
