package plan_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Every event of every watch is reduced. This is most of the agent's own work in a rollout.
func BenchmarkReduce(b *testing.B) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{
			"name": "api", "namespace": "posts", "uid": "u", "resourceVersion": "1",
			"labels":      map[string]any{manifest.LabelEnvironment: "i.e"},
			"annotations": map[string]any{manifest.AnnotationDigest: "1:d"},
			"managedFields": []any{
				fieldsOf(manifest.FieldManager, "Apply", ""),
				fieldsOf("kube-controller-manager", "Update", "status"),
			},
		},
		"spec":   map[string]any{"replicas": int64(1)},
		"status": map[string]any{"replicas": int64(1), "readyReplicas": int64(1), "updatedReplicas": int64(1), "availableReplicas": int64(1)},
	}}
	b.ReportAllocs()
	for b.Loop() {
		if observed.Reduce(object).Ownership == "" {
			b.Fatal("no ownership")
		}
	}
}

// fieldsOf returns an entry of managed fields with about as many fields as a Deployment has.
func fieldsOf(manager, operation, subresource string) map[string]any {
	container := map[string]any{".": map[string]any{}}
	for _, field := range []string{"args", "env", "envFrom", "image", "name", "ports", "readinessProbe", "resources"} {
		container["f:"+field] = map[string]any{}
	}
	return map[string]any{
		"manager": manager, "operation": operation, "subresource": subresource, "apiVersion": "apps/v1",
		"time": metav1.Now().UTC().Format("2006-01-02T15:04:05Z"), "fieldsType": "FieldsV1",
		"fieldsV1": map[string]any{"f:spec": map[string]any{
			"f:replicas": map[string]any{}, "f:selector": map[string]any{},
			"f:template": map[string]any{"f:spec": map[string]any{"f:containers": map[string]any{`k:{"name":"api"}`: container}}},
		}},
	}
}
