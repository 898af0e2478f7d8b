package apply

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// takeOver takes the ownership of fields that people own, so that the next apply removes those that Git does not set. A
// crash between the two shows as drift.
func (r *run) takeOver(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) error {
	obj, err := client.Get(ctx, s.Key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && !isMissingNamespace(err) {
		return &finding{class: Conflict, text: otherUID, cause: err}
	}
	if err != nil {
		return err
	}
	if obj.GetUID() != s.Live.UID || obj.GetDeletionTimestamp() != nil {
		return &finding{class: Conflict, text: otherUID}
	}
	fields, err := observed.TakeOver(obj.GetManagedFields())
	if err != nil {
		return err
	}
	return r.setManagedFields(ctx, client, obj, fields)
}

// setManagedFields writes who owns which fields of an object, and nothing else. It is a conflict if the object has
// changed since it was read.
func (r *run) setManagedFields(ctx context.Context, client dynamic.ResourceInterface, obj *unstructured.Unstructured, fields []metav1.ManagedFieldsEntry) error {
	body, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": fields},
		// The API server answers 409 if the version has changed.
		{"op": "replace", "path": "/metadata/resourceVersion", "value": obj.GetResourceVersion()},
	})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, obj.GetName(), types.JSONPatchType, body, metav1.PatchOptions{FieldManager: manifest.FieldManager})
	return err
}
