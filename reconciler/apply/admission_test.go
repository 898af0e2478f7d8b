package apply

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/plan"
)

func TestQuota(t *testing.T) {
	for _, test := range []struct {
		name, used string
		class      Class
		want       string
	}{
		{"full", `,"used":{"secrets":"1"}`, Quota,
			"exceeded quota: small, requested: secrets=1, used: secrets=1, limited: secrets=1; request less, or ask for a larger quota"},
		{"not counted yet", ``, Transient,
			"status unknown for quota: small, resources: secrets; it is tried again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.quota("secrets", test.used)
			w.until(func() bool { // the API server may first see the quota without its status
				err := w.rehearse(secret)
				return isQuota(err) && isUncountedQuota(err) == (test.class == Transient)
			})
			w.refused(test.class, "infra/app.yaml:12: Secret/NS/login: "+test.want, w.do(plan.Create, secret, nil))
		})
	}
}

func TestTerminatingNamespace(t *testing.T) {
	w := newWorld(t)
	live := w.created(configMap)
	w.delete("{apiVersion: v1, kind: Namespace, metadata: {name: NS}}")
	const why = ": the namespace NS is being deleted; it is re-created once that is gone"
	w.refused(Terminating, "infra/app.yaml:12: Deployment/NS/api"+why, w.do(plan.Create, deployment, nil))
	w.refused(Terminating, "infra/app.yaml:12: Job/NS/migrate"+why, w.do(plan.Create, job, nil))
	w.refused(Terminating, "infra/app.yaml:12: Secret/NS/login"+why, w.do(plan.Create, secret, nil))
	w.must(Changed, w.do(plan.Change, with(configMap, "fast", "slow"), live))
}

// as makes the applier act as a user without rights.
func as(user string) func(*rest.Config, *Config) {
	return func(c *rest.Config, _ *Config) { c.Impersonate.UserName = user }
}

func TestForbidden(t *testing.T) {
	w := newWorld(t, as("ada"))
	w.refused(Forbidden, `infra/app.yaml:12: ConfigMap/NS/settings: User "ada" cannot patch resource "configmaps" in API group "" in the namespace "NS"; `+
		"ask an administrator of the cluster for the right, or for an exception", w.do(plan.Create, configMap, nil))
	w.refused(Forbidden, `infra/app.yaml:12: Secret/NS/login: User "ada" cannot patch resource "secrets" in API group "" in the namespace "NS"; `+
		"ask an administrator of the cluster for the right, or for an exception", w.do(plan.Create, secret, nil))
}

// A user who may write Roles may still not grant rights that they lack.
func TestGrantingTooMuch(t *testing.T) {
	w := newWorld(t)
	w.created(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: roles, namespace: NS}
rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [create, patch]}]
`)
	w.created(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: roles, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: roles}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: eve}]
`)
	const much = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: much, namespace: NS}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
`
	weak := anotherWorld(t, as("eve")).applier
	var result Result
	w.until(func() bool {
		result = weak.Run(t.Context(), w.target, []plan.Step{w.step(plan.Create, much, nil)})[0]
		return result.Err == nil || !strings.Contains(result.Err.Message, "cannot patch")
	})
	// Another Role in the same commit does not change that.
	steps := []plan.Step{w.step(plan.Create, much, nil), w.step(plan.Create, with(much, "name: much", "name: other"), nil)}
	if validated := weak.Validate(t.Context(), w.target, steps); validated[0].Err == nil || validated[1].Err == nil {
		t.Errorf("validation has nothing against Roles that grant too much: %+v", validated)
	}
	w.refused(Forbidden, `infra/app.yaml:12: Role/NS/much: grants what the account that applies it may not do itself: `+
		`{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}; remove these rights from the manifest, or ask an administrator of the cluster to grant them to that account first`, result)
}

// An API server may not know a namespace, grant or kind right after its creation.
func TestOurOwnMakingsMayTakeAMoment(t *testing.T) {
	w := newWorld(t)
	weak := anotherWorld(t, as("bob")).applier
	weak.recent = w.applier.recent
	asBob := func() Result {
		return weak.Run(t.Context(), w.target, []plan.Step{w.step(plan.Create, configMap, nil)})[0]
	}
	const unserved = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.NS.example.com}
spec:
  group: NS.example.com
  scope: Namespaced
  names: {kind: Gadget, plural: gadgets}
  versions: [{name: v1, served: false, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`
	const gadget = "{apiVersion: NS.example.com/v1, kind: Gadget, metadata: {name: x, namespace: NS}}"
	const later = "{apiVersion: v1, kind: Namespace, metadata: {name: NS-later}}"

	w.classed(Forbidden, asBob())
	w.created(roleBinding)
	w.classed(Transient, asBob())

	w.classed(NotServed, w.do(plan.Create, gadget, nil))
	w.created(unserved)
	w.classed(Transient, w.do(plan.Create, gadget, nil))

	inLater := with(configMap, "namespace: NS", "namespace: NS-later")
	w.created(later)
	w.delete(later)
	w.finalize(later)
	var result Result
	w.until(func() bool { // the API server's admission notices its end a moment later
		result = w.do(plan.Create, inLater, nil)
		return result.Err == nil || result.Err.Class != Terminating
	})
	if w.classed(Transient, result).Err.RetryAfter == 0 {
		t.Error("it does not say when to try again")
	}

	w.now = w.now.Add(settling)
	w.classed(Forbidden, asBob())
	w.classed(NotServed, w.do(plan.Create, gadget, nil))
	if result := w.classed(Transient, w.do(plan.Create, inLater, nil)); result.Err.RetryAfter != 0 {
		t.Error("it is still thought to come")
	}
}

func (w *world) classed(class Class, r Result) Result {
	w.t.Helper()
	if r.Err == nil || r.Err.Class != class {
		w.t.Errorf("%s: got %s, want %s", r.Step.Key, describe(r), class)
	}
	return r
}

// finalize ends a namespace, as the namespace controller does.
func (w *world) finalize(text string) {
	w.t.Helper()
	obj := w.look(text)
	obj.Object["spec"] = map[string]any{}
	if _, err := w.resource(w.object(text)).Update(w.t.Context(), obj, metav1.UpdateOptions{}, "finalize"); err != nil {
		w.t.Fatal(err)
	}
}

// The agent finds a kind that is installed while it runs.
func TestNewKind(t *testing.T) {
	w := newWorld(t)
	const widget = "{apiVersion: NS.example.com/v1, kind: Widget, metadata: {name: x, namespace: NS}, spec: {size: 1}}"
	w.classed(NotServed, w.do(plan.Create, widget, nil))
	w.created(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.NS.example.com}
spec:
  group: NS.example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, x-kubernetes-validations: [{rule: self == oldSelf, message: size is immutable}]}}
`)
	var result Result
	w.until(func() bool {
		result = w.do(plan.Create, widget, nil)
		return result.Err == nil || result.Err.Class != Transient
	})
	live := w.must(Created, result)
	w.classed(Invalid, w.do(plan.Change, with(widget, "size: 1", "sice: 1"), live))
	w.classed(Immutable, w.do(plan.Change, with(widget, "size: 1", "size: 2"), live))
	w.classed(Exists, newWorldIn(w).do(plan.Create, widget, nil))
	w.must(Deleted, w.run(gone(live))[0])
}

// newWorldIn is another environment in the same namespace.
func newWorldIn(w *world) *world {
	other := *w
	other.target.Environment = "a1b2c3.other"
	return &other
}

func TestWebhooks(t *testing.T) {
	w := newWorld(t)
	w.kubectl(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NS}
webhooks:
- name: nobody.example.com
  clientConfig: {url: "https://127.0.0.1:1/"}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps, secrets]}]
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
`)
	const why = `: Internal error occurred: failed calling webhook "nobody.example.com": failed to call webhook: Post "https://127.0.0.1:1/?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused; it is tried again`
	probe := with(configMap, "settings", "probe")
	w.until(func() bool { // until the webhook is known
		r := w.do(plan.Create, probe, nil)
		if r.Err == nil {
			w.must(Deleted, w.run(gone(r.Live))[0])
		}
		return r.Err != nil
	})
	w.refused(Transient, "infra/app.yaml:12: ConfigMap/NS/settings"+why, w.do(plan.Create, configMap, nil))
	w.refused(Transient, "infra/app.yaml:12: Secret/NS/login"+why, w.do(plan.Create, secret, nil))
}

func TestAdmissionPolicy(t *testing.T) {
	w := newWorld(t)
	w.kubectl(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NS}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps, secrets]}]}
  validations: [{expression: "false", message: none of these}]
`)
	w.kubectl(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NS}
spec:
  policyName: NS
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}}
`)
	probe := with(configMap, "settings", "probe")
	w.until(func() bool {
		r := w.do(plan.Create, probe, nil)
		if r.Err == nil {
			w.must(Deleted, w.run(gone(r.Live))[0])
		}
		return r.Err != nil
	})
	w.refused(Denied, "infra/app.yaml:12: ConfigMap/NS/settings: ValidatingAdmissionPolicy 'NS' with binding 'NS' denied request: none of these; "+
		"correct it in Git, or ask an administrator of the cluster for an exception", w.do(plan.Create, configMap, nil))
	w.refused(Denied, "infra/app.yaml:12: Secret/NS/login: ValidatingAdmissionPolicy 'NS' with binding 'NS' denied request; "+
		"correct it in Git, or ask an administrator of the cluster for an exception", w.do(plan.Create, secret, nil))
}
