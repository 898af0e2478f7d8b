package clustertest

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// establishTimeout is how long the API server may take to serve a kind after
// its CustomResourceDefinition was applied.
const establishTimeout = 30 * time.Second

// Apply applies objects in order, as "kubectl apply --server-side --validate=strict" does, with the rights of the
// configuration. The configuration's WarningHandler receives the API server's warnings. An object may directly
// follow its own definition.
func Apply(ctx context.Context, config *rest.Config, objects ...*unstructured.Unstructured) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := apply(ctx, client, object); err != nil {
			return fmt.Errorf("cannot apply %s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
		}
	}
	return nil
}

func apply(ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured) error {
	text, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{FieldManager: "test", FieldValidation: metav1.FieldValidationStrict}
	// All kinds here have regular plurals.
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	target := client.Resource(resource).Namespace(object.GetNamespace())
	var answer error
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, establishTimeout, true, func(ctx context.Context) (bool, error) {
		_, answer = target.Patch(ctx, object.GetName(), types.ApplyPatchType, text, options)
		return !isUnserved(answer), nil
	})
	if answer != nil {
		return answer
	}
	return err
}

// isUnserved reports whether an API server does not know a kind. If only the object's namespace does not exist, the
// error's details name the namespace.
func isUnserved(err error) bool {
	status, ok := err.(errors.APIStatus)
	return ok && errors.IsNotFound(err) && (status.Status().Details == nil || status.Status().Details.Name == "")
}
