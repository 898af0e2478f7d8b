package reconciler

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/plan"
)

// Custom resources with their own status fields are judged by the entry's expressions, at the gate and after it. After
// a write of our own, only newer reports of their controller count.
func TestExpressions(t *testing.T) {
	w := newWorld(t)
	group := w.env.Namespace + ".example.com"
	crd := strings.ReplaceAll(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: Database, plural: databases}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, "GROUP", group)
	database := func(members string) string {
		return "apiVersion: " + group + "/v1\nkind: Database\nmetadata: {name: main}\nspec: {members: " + members + "}\n"
	}
	w.env.Scope, w.Cluster.ClusterScoped = Cluster, func(schema.GroupKind) (bool, error) { return false, nil }
	w.env.Expressions = []Expression{{APIVersion: group + "/v1", Kind: "Database", Healthy: "status.members == spec.members", Failed: "status.broken"}}
	databases := w.admin.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "databases"}).Namespace(w.env.Namespace)
	says := func(status string) {
		t.Helper()
		_, err := databases.Patch(t.Context(), "main", types.MergePatchType, []byte(`{"status":`+status+`}`), metav1.PatchOptions{FieldManager: "operator"}, "status")
		if err != nil {
			t.Fatal(err)
		}
	}
	w.commits("crd.yaml", crd, "db.yaml", database("1"))
	w.becomes(plan.Going, "Database/main", "the expression healthy is not true yet")
	says(`{"members":1}`)
	w.becomes(plan.Settled)
	says(`{"broken":true,"conditions":[{"type":"Ready","status":"False","message":"the disk is full"}]}`)
	w.becomes(plan.Degraded, "Database/main", "the disk is full")
	says(`{"broken":false,"conditions":null}`)
	w.becomes(plan.Settled)

	w.commits("db.yaml", database("2"))
	w.becomes(plan.Going, "the expression healthy is not true yet")
	w.restarts()
	w.becomes(plan.Going, "the expression healthy is not true yet")
	says(`{"members":2}`)
	w.becomes(plan.Settled)

	t.Run("a mistake in one", func(t *testing.T) {
		w.env.Expressions = []Expression{{APIVersion: group + "/v1", Kind: "Database", Healthy: "status.members ="}}
		w.env.Settings = "{other}"
		w.becomes(plan.Failed, "health.expressions[0].healthy of Database", "cannot read the expression")
	})
}
