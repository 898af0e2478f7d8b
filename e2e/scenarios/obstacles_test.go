package scenarios

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
)

// protects is a policy that keeps what bears a label from being deleted in one namespace.
const protects = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: protects-obstacle}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: obstacle}}
    resourceRules:
    - {apiGroups: [""], apiVersions: ["*"], resources: [configmaps], operations: [DELETE]}
  validations:
  - {expression: "oldObject.metadata.name != 'precious'", message: precious things stay}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: protects-obstacle}
spec: {policyName: protects-obstacle, validationActions: [Deny]}
`

// An object that left Git and cannot be deleted is a warning on a healthy sync, and no reason to take it back.
func TestADeletionThatIsRefusedRollsNothingBack(t *testing.T) {
	t.Parallel()
	posts := begins(t, "obstacle", rollsBack)
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", with(application(), "k8s/precious.yaml", configMap("precious", "A: b"))))
	lift := installs(t, protects)
	world.Await(t, "the policy is in force", func() (string, bool) {
		err := other{t, "administrator", "obstacle"}.triesToDelete("configmaps", "precious")
		return "", err != nil
	})

	image := production.Object("Deployment/api").Image()
	commit := posts.pushes("main", with(code("newer"), "k8s/precious.yaml", ""))
	production.Becomes("Healthy", commit, "cannot delete ConfigMap/precious", "protects-obstacle", "precious things stay")
	if got := production.Object("Deployment/api").Image(); got == image {
		t.Errorf("the image is still %s", got)
	}
	next := posts.pushes("main", code("newest"))
	production.Becomes("Healthy", next, "cannot delete ConfigMap/precious")
	lift()
	world.AwaitFor(t, 70*time.Second, "what was protected is gone", func() (string, bool) {
		_, there := production.Find("ConfigMap/precious")
		return "", !there
	})
}

// A pause by hand is drift; while drift is left alone, a paused rollout is not done.
func TestARolloutThatIsPausedByHand(t *testing.T) {
	t.Parallel()
	posts := begins(t, "pauses")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	person := other{t, "kubectl-rollout", production.Namespace()}
	person.patches("deployments", "api", `{"spec":{"paused":true}}`)
	production.AwaitObject("Deployment/api", "is resumed", func(o world.Object) bool { return o.Field("spec.paused") == "" })

	lenient := strings.Replace(deployment("api", ""), "  name: api\n", "  name: api\n  annotations: {berth.dev/drift: ignore}\n", 1) + service("api")
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/api.yaml": lenient}))
	person.patches("deployments", "api", `{"spec":{"paused":true}}`)
	commit := posts.pushes("main", code("newer"))
	production.Becomes("Syncing", commit, "Deployment/api", "0 of 2 updated", "paused by kubectl-rollout", "kubectl rollout resume deployment/api -n pauses")
	person.patches("deployments", "api", `{"spec":{"paused":null}}`)
	production.Becomes("Healthy", commit)
}
