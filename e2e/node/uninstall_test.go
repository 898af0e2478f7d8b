package node_test

import (
	"fmt"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

// testUninstall deletes what deploy/ installed, in reverse order, after all Repositories are gone.
func testUninstall(t *testing.T) {
	client, err := dynamic.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	environments := client.Resource(v1alpha1.GroupVersion.WithResource("environments")).Namespace(deploy.Namespace)
	world.AwaitFor(t, limit, "all environments are gone", func() (string, bool) {
		list, err := environments.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err.Error(), false
		}
		return fmt.Sprintf("%d are left", len(list.Items)), len(list.Items) == 0
	})
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	foreground := metav1.DeletePropagationForeground
	for _, object := range slices.Backward(objects) {
		kind, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		resource := client.Resource(kind).Namespace(object.GetNamespace())
		err := resource.Delete(t.Context(), object.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
		world.AwaitFor(t, limit, object.GetKind()+" "+object.GetName()+" is gone", func() (string, bool) {
			_, err := resource.Get(t.Context(), object.GetName(), metav1.GetOptions{})
			return "", apierrors.IsNotFound(err)
		})
	}
	namespaces, err := admin(t).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{LabelSelector: "berth.dev/environment"})
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range namespaces.Items {
		if namespace.Annotations["berth.dev/on-removal"] != string(v1alpha1.RemovalOrphan) { // those of production stay
			t.Errorf("the namespace %s of an environment is left", namespace.Name)
		}
	}
}
