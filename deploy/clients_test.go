package deploy_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/internal/clustertest"
)

// Two clients that set the same values do not conflict, such as kubectl after Helm. They would, if a field that server-side
// apply treats as a whole left out a default: the API server then compares the value without the default to the one with it.
func TestClientsThatApplyTheSameManifestsDoNotConflict(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Config{APIServerOnly: true})
	all := build(t, overlay(t, "components: [BASE/components/cluster-scope, BASE/components/metrics-authorization, BASE/components/watch-secrets, BASE/components/webhook-ingress]\n"))
	apply(t, cluster, all)
	client, err := dynamic.NewForConfig(cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range all {
		resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		_, err := client.Resource(resource).Namespace(object.GetNamespace()).Apply(t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "another"})
		if err != nil {
			t.Errorf("%s: %v", identity(object), err)
		}
	}
}
