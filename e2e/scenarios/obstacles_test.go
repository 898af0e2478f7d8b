package scenarios

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
)

// forbids is a policy that rejects operations on the ConfigMap precious of one namespace.
func forbids(namespace, operations string) string {
	return strings.NewReplacer("NS", namespace, "OPERATIONS", operations).Replace(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: protects-NS}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
    resourceRules:
    - {apiGroups: [""], apiVersions: ["*"], resources: [configmaps], resourceNames: [precious], operations: [OPERATIONS]}
  validations:
  - {expression: "false", message: precious things stay}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: protects-NS}
spec: {policyName: protects-NS, validationActions: [Deny]}
`)
}

// lifts is how long the end of a refusal may go unnoticed: the agent looks again after 40 seconds at the latest.
const lifts = 2 * time.Minute

// inForce waits until an admission policy rejects a request.
func inForce(t *testing.T, try func() error) {
	t.Helper()
	world.Await(t, "the policy is in force", func() (string, bool) { return "", try() != nil })
}

// An object that left Git and cannot be deleted is a warning on a healthy sync, and causes no rollback.
func TestADeletionThatIsRefusedRollsNothingBack(t *testing.T) {
	t.Parallel()
	posts := begins(t, "obstacle", rollsBack)
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", with(application(), "k8s/precious.yaml", configMap("precious", "A: b"))))
	lift := installs(t, forbids("obstacle", "DELETE"))
	inForce(t, func() error { return other{t, "administrator", "obstacle"}.triesToDelete("configmaps", "precious") })

	image := production.Object("Deployment/api").Image()
	commit := posts.pushes("main", with(code("newer"), "k8s/precious.yaml", ""))
	production.Becomes("Healthy", commit, "cannot delete ConfigMap/precious", "protects-obstacle", "precious things stay")
	if got := production.Object("Deployment/api").Image(); got == image {
		t.Errorf("the image is still %s", got)
	}
	next := posts.pushes("main", code("newest"))
	production.Becomes("Healthy", next, "cannot delete ConfigMap/precious")
	lift()
	lifted := time.Now()
	world.AwaitFor(t, lifts, "what was protected is gone", func() (string, bool) {
		_, there := production.Find("ConfigMap/precious")
		return "", !there
	})
	t.Logf("it was deleted %s after the policy", time.Since(lifted).Round(time.Millisecond))
}

// When a policy or a webhook is removed, the agent retries what it rejected: in a running environment the whole commit,
// in a first sync only the object.
func TestALiftedRefusalIsTriedAgain(t *testing.T) {
	t.Parallel()
	precious := with(application(), "k8s/precious.yaml", configMap("precious", "A: b"))
	for name, test := range map[string]struct {
		namespace string
		before    map[string]string // what runs before
		refuses   func(t *testing.T, namespace string) (lift func())
		says      string
	}{
		"a commit, by a policy": {"lift-commit", application(), func(t *testing.T, namespace string) func() {
			return installs(t, forbids(namespace, "CREATE"))
		}, "ValidatingAdmissionPolicy 'protects-lift-commit' with binding 'protects-lift-commit' denied request: precious things stay"},
		"an object of a first sync, by a policy": {"lift-first", nil, func(t *testing.T, namespace string) func() {
			return installs(t, forbids(namespace, "CREATE"))
		}, "ValidatingAdmissionPolicy 'protects-lift-first' with binding 'protects-lift-first' denied request: precious things stay"},
		"a commit, by a webhook": {"lift-hook", application(), func(t *testing.T, namespace string) func() {
			return guards(t, namespace, func(a asked) string {
				if a.about("precious") {
					return "precious things stay"
				}
				return ""
			})
		}, `admission webhook "guard.example.com" denied the request: precious things stay`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			posts := begins(t, test.namespace)
			production := posts.Environment("main")
			if test.before != nil {
				production.Becomes("Healthy", posts.pushes("main", test.before))
			} else {
				other{t, "administrator", ""}.creates("namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: "+test.namespace+"}}")
			}
			lift := test.refuses(t, test.namespace)
			inForce(t, func() error {
				return other{t, "administrator", test.namespace}.tries("configmaps", configMap("precious", "A: b"))
			})
			commit := posts.pushes("main", precious)
			production.Becomes("Failed", commit, "ConfigMap/"+test.namespace+"/precious", test.says)
			lift()
			lifted := time.Now()
			production.BecomesWithin(lifts, "Healthy", commit)
			t.Logf("it was healthy %s after the end of the refusal", time.Since(lifted).Round(time.Millisecond))
		})
	}
}

// A manual pause is drift. While drift is not reverted, a paused rollout is not complete.
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
