package clusters

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/clustertest"
)

// bareCluster is a cluster without controllers.
var bareCluster = clustertest.Shared(clustertest.Config{APIServerOnly: true})

// unanswered is an API without a server.
const unanswered = `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.unanswered.example.com}
spec:
  group: unanswered.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: nobody, namespace: default}
`

// If the server of an API is down, its kinds are neither present nor absent. Other kinds are not affected.
func TestKindsOfAnAPIWhoseServerIsAway(t *testing.T) {
	config := bareCluster(t).RESTConfig()
	service := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(unanswered), &service.Object); err != nil {
		t.Fatal(err)
	}
	if err := clustertest.Apply(t.Context(), config, service); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		services := dynamic.NewForConfigOrDie(config).Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
		if err := services.Delete(context.Background(), service.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	mapper := newMapper(client)
	aggregated := schema.GroupKind{Group: "unanswered.example.com", Kind: "Metric"}
	// The API server takes a moment to list the group at all.
	for begin := time.Now(); ; mapper.Reset() {
		_, err := mapper.RESTMapping(aggregated, "v1")
		if err != nil && !meta.IsNoMatchError(err) {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("a kind that cannot be discovered counts as missing, or as served: %v", err)
		}
	}
	if _, err := mapper.RESTMapping(schema.GroupKind{Group: "elsewhere.example.com", Kind: "Metric"}, "v1"); !meta.IsNoMatchError(err) {
		t.Errorf("a kind that does not exist is not said to be missing: %v", err)
	}
	if _, err := mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"}); err != nil {
		t.Errorf("a kind that exists is not found: %v", err)
	}
}
