package hostile

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// widgets is the kind of an operator that extended the account of environments and forgot the agent's watches.
const widgets = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.hostile.example.com}
spec:
  group: hostile.example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: hostile-widgets, labels: {berth.dev/aggregate-to-environment: "true"}}
rules: [{apiGroups: [hostile.example.com], resources: [widgets], verbs: ["*"]}]
`

// A kind that the agent cannot watch once left its environment Syncing forever. Now the sync fails in time, and reports
// what is missing. Other environments do not wait.
func TestAKindThatTheAgentCannotWatch(t *testing.T) {
	t.Parallel()
	administrator(t, widgets)
	posts := begins(t, "unwatched", func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].Health.Timeout = metav1.Duration{Duration: 5 * time.Second}
	})
	evil := posts.pushes("evil", map[string]string{"k8s/widget.yaml": "apiVersion: hostile.example.com/v1\nkind: Widget\nmetadata: {name: w}\n"})
	evil.isRefused("Widget/w", "cannot be seen by the agent: cannot watch Widget.hostile.example.com")
	evil.AwaitUnhealthy("Widget/w", "let the agent watch it")
	posts.felt()
	evil.Patch("ConfigMap/settings", `{"data":{"HOST":"elsewhere"}}`)
	evil.AwaitObject("ConfigMap/settings", "is put back all the same", func(o world.Object) bool { return o.Field("data.HOST") == "posts.example.com" })
}

// Expressions that an API server evaluates belong to cluster-scoped objects, which a branch cannot bring.
func TestExpressionsThatCost(t *testing.T) {
	t.Parallel()
	const expression = "[1,2,3].all(a, [1,2,3].all(b, [1,2,3].all(c, true)))"
	attempts(t, "expressions", []attempt{
		{"policy", map[string]string{"k8s/policy.yaml": "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: slow}\nspec: {validations: [{expression: '" + expression + "'}]}\n"},
			[]string{"k8s/policy.yaml:1: ValidatingAdmissionPolicy/slow: it is cluster-scoped"}},
		{"definition", map[string]string{"k8s/crd.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: slows.example.com}\n"},
			[]string{"k8s/crd.yaml:1: CustomResourceDefinition/slows.example.com: it is cluster-scoped"}},
	})
}
