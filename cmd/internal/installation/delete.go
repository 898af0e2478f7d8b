package installation

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (r *Remover) deletePolicies(ctx context.Context, s *Survey) error {
	return r.deleteObjects(ctx, s.Shared, func(o *unstructured.Unstructured) bool {
		return o.GroupVersionKind().Group == "admissionregistration.k8s.io"
	})
}

// deleteHome deletes the namespace, or what Berth put into one that is not its own.
func (r *Remover) deleteHome(ctx context.Context, s *Survey) error {
	if s.Namespace == nil {
		return nil
	}
	if s.Goes() {
		if err := r.foreign(ctx, s); err != nil { // created since the survey
			return err
		}
	}
	if !s.Goes() {
		if len(s.Foreign) > 0 {
			r.say("Namespace/%s: stays, because it holds objects that are not Berth's; deleting only Berth's objects in it", r.Namespace)
		}
		return r.deleteContents(ctx)
	}
	if err := r.delete(ctx, s.Namespace); err != nil {
		return err
	}
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		now := &corev1.Namespace{}
		err := r.Client.Get(ctx, client.ObjectKeyFromObject(s.Namespace), now)
		if err == nil && now.UID == s.Namespace.UID {
			r.awaitGone(now)
			return false, nil
		}
		return true, client.IgnoreNotFound(err)
	})
	if err == nil {
		r.say("Namespace/%s: deleted", r.Namespace)
	}
	return err
}

// deleteContents deletes what was installed into a namespace that stays, whatever its kind: an installation has components.
// Secrets and volumes with its label are those of users.
func (r *Remover) deleteContents(ctx context.Context) error {
	kinds, err := r.served(func(resource metav1.APIResource) bool {
		return deletable(resource) && resource.Kind != "Secret" && resource.Kind != "PersistentVolumeClaim"
	})
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		objects, err := r.list(ctx, kind, client.InNamespace(r.Namespace), client.MatchingLabels{partOf: product})
		if err != nil {
			return err
		}
		for i := range objects {
			if metav1.GetControllerOf(&objects[i]) != nil {
				continue // it goes with its owner
			}
			if err := r.delete(ctx, &objects[i]); err != nil {
				return err
			}
		}
	}
	// The id is the last, because it shows that an interrupted removal is not complete.
	if err := r.deleteAll(ctx, "v1", "Secret", client.HasLabels{recordType}); err != nil {
		return err
	}
	return r.deleteNamed(ctx, "v1", "Secret", installationSecret)
}

// deleteRoles deletes the ClusterRoles, aggregated ones first. The controller that aggregates them applies such a role
// whenever its parts change, and so would create it again while they are deleted.
func (r *Remover) deleteRoles(ctx context.Context, s *Survey) error {
	if err := r.deleteObjects(ctx, s.Shared, isAggregated); err != nil {
		return err
	}
	return r.deleteObjects(ctx, s.Shared, func(o *unstructured.Unstructured) bool { return o.GetKind() == "ClusterRole" && !isAggregated(o) })
}

func isAggregated(object *unstructured.Unstructured) bool {
	return object.GetKind() == "ClusterRole" && object.Object["aggregationRule"] != nil
}

// deleteReturned deletes the ClusterRoles that the controller created again all the same, because it had begun to apply them
// before they were deleted.
func (r *Remover) deleteReturned(ctx context.Context, s *Survey) error {
	for _, object := range s.Shared {
		if !isAggregated(object) {
			continue
		}
		if err := r.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// deleteDefinitions deletes Berth's kinds, and waits until the API server has cleaned them up.
func (r *Remover) deleteDefinitions(ctx context.Context, s *Survey) error {
	if err := r.deleteObjects(ctx, s.Definitions, func(*unstructured.Unstructured) bool { return true }); err != nil {
		return err
	}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		for _, definition := range s.Definitions {
			now := definition.DeepCopy()
			err := r.Client.Get(ctx, client.ObjectKeyFromObject(definition), now)
			if err == nil && now.GetUID() == definition.GetUID() {
				r.say("%s: waiting until it is gone", Name(definition))
				return false, nil
			}
			if client.IgnoreNotFound(err) != nil {
				return false, err
			}
		}
		return true, nil
	})
}

func (r *Remover) deleteObjects(ctx context.Context, objects []*unstructured.Unstructured, which func(*unstructured.Unstructured) bool) error {
	for _, object := range objects {
		if !which(object) {
			continue
		}
		if err := r.delete(ctx, object); err != nil {
			return err
		}
		r.say("%s: deleted", Name(object))
	}
	return nil
}

// deleteAll deletes the objects of a kind in the namespace that have labels.
func (r *Remover) deleteAll(ctx context.Context, version, kind string, which client.ListOption) error {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(version)
	list.SetKind(kind + "List")
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace), which); err != nil {
		return err
	}
	for i := range list.Items {
		if err := r.delete(ctx, &list.Items[i]); err != nil {
			return err
		}
		r.say("%s: deleted", Name(&list.Items[i]))
	}
	return nil
}

func (r *Remover) deleteNamed(ctx context.Context, version, kind, name string) error {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion(version)
	object.SetKind(kind)
	object.SetNamespace(r.Namespace)
	object.SetName(name)
	return client.IgnoreNotFound(r.Client.Delete(ctx, object))
}

// delete deletes exactly the object that was read. One that is gone is no error.
func (r *Remover) delete(ctx context.Context, object client.Object) error {
	uid := object.GetUID()
	err := r.Client.Delete(ctx, object, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if apierrors.IsConflict(err) {
		return nil // another object took its place
	}
	return client.IgnoreNotFound(err)
}
