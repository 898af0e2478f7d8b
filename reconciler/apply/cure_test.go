package apply

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

const (
	role        = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader, namespace: NS}, rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]}"
	binding     = "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: readers, namespace: NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}, subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: NS-ada}]}"
	barePod     = "{apiVersion: v1, kind: Pod, metadata: {name: bare, namespace: NS}, spec: {automountServiceAccountToken: false, containers: [{name: a, image: b}]}}"
	limits      = "{apiVersion: v1, kind: LimitRange, metadata: {name: small, namespace: NS}, spec: {limits: [{type: PersistentVolumeClaim, max: {storage: 1Gi}}]}}"
	large       = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: large, namespace: NS}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}"
	ownSpace    = "{apiVersion: v1, kind: Namespace, metadata: {name: NS, labels: {pod-security.kubernetes.io/enforce: baseline}}}"
	quota       = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: few, namespace: NS}, spec: {hard: {services: '0'}}}"
	runtimeKind = "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: NS}, handler: x}"
)

// newTeam returns a world whose applier may write everything, but grant only its own rights.
func newTeam(t *testing.T) *world {
	w := newWorld(t, as("team"))
	for _, text := range []string{
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: NS}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch, create, update, patch, delete]}]}",
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NS}, subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: team}]}",
	} {
		w.kubectl(text)
	}
	w.until(func() bool {
		return w.applier.Validate(t.Context(), w.target, []plan.Step{w.step(plan.Create, role, nil)})[0].Err == nil
	})
	return w
}

// A step is not refused if another step of its commit makes it valid. Without that other step it is refused.
func TestWhatACommitBringsTogetherIsNotRefused(t *testing.T) {
	for _, test := range []struct {
		name, there, brings, needs, want string
		class                            Class
	}{
		{"a role and its binding", "", role, binding, `roleRef: there is no Role/reader; add that to Git, or correct the reference`, Missing},
		{"a priority class and a pod", "", priority, with(barePod, "spec: {", "spec: {priorityClassName: NS, "), "no PriorityClass with name NS was found; add that to Git, or correct the reference", Missing},
		{"a runtime class and a pod", "", runtimeKind, with(barePod, "spec: {", "spec: {runtimeClassName: NS, "), `RuntimeClass "NS" not found; add that to Git, or correct the reference`, Missing},
		{"a raised limit and a claim", limits, with(limits, "1Gi", "5Gi"), large, "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi", Forbidden},
		{"a namespace that allows more and a pod", "", with(ownSpace, "baseline", "privileged"), with(barePod, "spec: {", "spec: {hostNetwork: true, "), `violates PodSecurity "baseline:latest"`, Forbidden},
		{"a raised quota and a service", quota, with(quota, "'0'", "'5'"), front, "exceeded quota: few", Quota},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newTeam(t)
			if strings.Contains(test.brings, "Namespace") {
				w.patchAs("admin", ownSpace, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}`)
			}
			if test.there != "" {
				w.created(test.there)
				w.now = w.now.Add(settling)
			}
			if strings.Contains(test.there, "ResourceQuota") {
				w.patchAs("kube-controller-manager", quota, `{"status":{"hard":{"services":"0"},"used":{"services":"0"}}}`, "status")
			}
			needs := w.step(plan.Create, test.needs, nil)
			needs.Stage = 2
			alone := func() Result { return w.applier.Validate(t.Context(), w.target, []plan.Step{needs})[0] }
			want := strings.ReplaceAll(test.want, "NS", w.namespace)
			w.until(func() bool { return alone().Err != nil })
			if r := w.classed(test.class, alone()); !strings.Contains(r.Err.Message, want) {
				t.Errorf("it says %s, want %s", r.Err.Message, want)
			}
			brings := w.step(plan.Create, test.brings, nil)
			if test.there != "" || strings.Contains(test.brings, "Namespace") {
				brings = w.step(plan.Change, test.brings, w.seen(test.brings))
			}
			for _, r := range w.applier.Validate(t.Context(), w.target, []plan.Step{needs, brings}) {
				if r.Err != nil {
					t.Errorf("together: %s", describe(r))
				}
			}
			if test.class == Quota {
				return // the quota applies only once a controller has counted the usage
			}
			results := w.run(needs, brings)
			if results[1].Err != nil {
				t.Fatal(results[1].Err)
			}
			w.until(func() bool { // the API server may notice it a moment later
				if results[0].Err != nil && results[0].Err.Class != Transient {
					t.Fatalf("%s", describe(results[0]))
				}
				if results[0].Err != nil {
					results[0] = w.run(needs)[0]
				}
				return results[0].Err == nil
			})
		})
	}
}

// A refusal for a reason that the commit does not remove is final.
func TestWhatACommitBringsCuresNothingElse(t *testing.T) {
	w := newTeam(t)
	other := with(binding, "name: reader}", "name: writer}")
	steps := []plan.Step{w.step(plan.Create, role, nil), w.step(plan.Create, other, nil), w.step(plan.Create, with(deployment, "replicas:", "replica:"), nil)}
	results := w.applier.Validate(t.Context(), w.target, steps)
	w.classed(Missing, results[1])
	w.classed(Invalid, results[2])
}

// The role of a binding cannot be changed, whether the new one exists or not.
func TestAChangedRoleIsImmutable(t *testing.T) {
	w := newTeam(t)
	w.created(role)
	live := w.created(binding)
	w.now = w.now.Add(settling)
	r := w.classed(Immutable, w.do(plan.Change, with(binding, "name: reader}", "name: writer}"), live))
	const want = "roleRef: cannot change roleRef, which is Role/reader; revert the change in Git, or re-create the object with the annotation berth.dev/replace: when-immutable"
	if !strings.Contains(r.Err.Message, want) {
		t.Errorf("it says %s", r.Err.Message)
	}
}

// The API server of these tests does not give these refusals.
func TestRefusalsThatOtherObjectsCure(t *testing.T) {
	of := func(group, kind, name string) made {
		return made{key: manifest.Key{Group: group, Kind: kind, Namespace: "posts", Name: name}}
	}
	everywhere := func(group, kind, name string) made {
		return made{key: manifest.Key{Group: group, Kind: kind, Name: name}}
	}
	forbidden := func(why string) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "api", fmt.Errorf("%s", why))
	}
	denied := func(why string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: `admission webhook "guard.example.com" denied the request: ` + why}}
	}
	pod := plan.Step{Key: manifest.Key{Kind: "Pod", Namespace: "posts", Name: "api"}}
	for _, test := range []struct {
		name string
		made made
		err  error
		want bool
	}{
		{"an account", of("", "ServiceAccount", "api"), forbidden(`error looking up service account posts/api: serviceaccount "api" not found`), true},
		{"another account", of("", "ServiceAccount", "web"), forbidden(`error looking up service account posts/api: serviceaccount "api" not found`), false},
		{"an account elsewhere", made{key: manifest.Key{Kind: "ServiceAccount", Namespace: "other", Name: "api"}}, forbidden(`error looking up service account posts/api: serviceaccount "api" not found`), false},
		{"a ConfigMap that a webhook looks up", of("", "ConfigMap", "owners"), denied(`configmaps "owners" not found`), true},
		{"a ConfigMap of the same name as what a webhook talks of", of("", "ConfigMap", "api"), denied("container api has no limits"), false},
		{"a Secret that a webhook looks up", of("", "Secret", "pull"), denied(`the Secret posts/pull does not exist`), true},
		{"a policy of an engine", everywhere("kyverno.io", "ClusterPolicy", "require-owner"), denied("resource Pod/posts/api was blocked due to the following policies\n\nrequire-owner:\n  check: no owner"), true},
		{"another policy of it", everywhere("kyverno.io", "ClusterPolicy", "require"), denied("resource Pod/posts/api was blocked due to the following policies\n\nrequire-owner:\n  check: no owner"), false},
		{"a webhook", everywhere("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "guard"), denied("no"), true},
		{"a policy", everywhere("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "x"), forbidden("ValidatingAdmissionPolicy 'x' with binding 'x' denied request: no"), true},
		{"a role, and rights", of(rbacGroup, "RoleBinding", "deployer"), forbidden(`User "a" cannot create resource "pods" in API group "" in the namespace "posts"`), true},
		{"a role, and a policy", of(rbacGroup, "RoleBinding", "deployer"), denied("no"), false},
		{"an API", everywhere("apiregistration.k8s.io", "APIService", "v1.metrics.example.com"), apierrors.NewGenericServerResponse(404, "patch", schema.GroupResource{}, "x", "404 page not found", 0, true), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.made.cures(pod, test.err); got != test.want {
				t.Errorf("got %t for %v", got, test.err)
			}
		})
	}
	metric := plan.Step{Key: manifest.Key{Group: "metrics.example.com", Kind: "Metric", Name: "x"}}
	if api := everywhere("apiregistration.k8s.io", "APIService", "v1.metrics.example.com"); !api.cures(metric, apierrors.NewGenericServerResponse(404, "patch", schema.GroupResource{}, "x", "404 page not found", 0, true)) {
		t.Error("an APIService brings no kinds")
	}
}
