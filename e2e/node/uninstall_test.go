package node_test

import (
	"os/exec"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/deploy"
)

// testUninstall removes Berth, with the agent as a Pod.
func testUninstall(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), program, "uninstall", "--yes", "--timeout", limit.String(), "--kubeconfig", shared.Cluster.Kubeconfig()).CombinedOutput()
	if err != nil || !strings.Contains(string(output), "Berth is removed") {
		t.Fatalf("%v\n%s", err, output)
	}
	client, err := dynamic.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			continue // the Secrets of the scenarios are in it, and keep it
		}
		kind, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		_, err := client.Resource(kind).Namespace(object.GetNamespace()).Get(t.Context(), object.GetName(), metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s %s is left: %v", object.GetKind(), object.GetName(), err)
		}
	}
	namespaces, err := admin(t).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{LabelSelector: "berth.dev/environment"})
	if err != nil || len(namespaces.Items) > 0 {
		t.Errorf("these namespaces still have Berth's label: %+v, %v", namespaces.Items, err)
	}
}
