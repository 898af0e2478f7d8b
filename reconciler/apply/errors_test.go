package apply

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// The messages about objects that the API server refuses, word for word.
func TestRefusalsOfContent(t *testing.T) {
	for _, test := range []struct {
		name, text string
		class      Class
		want       string
	}{
		{"invalid values", with(with(deployment, "replicas: 2", "replicas: -1"), "metadata: {labels: {app: api}}", "metadata: {labels: {app: web}}"), Invalid,
			"Deployment/NS/api: spec.replicas: Invalid value: -1: must be greater than or equal to 0; " +
				"spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`; correct it in Git"},
		{"unknown field", with(deployment, "replicas:", "replica:"), Invalid,
			"Deployment/NS/api: .spec.replica: field not declared in schema; correct it in Git"},
		{"unknown field in a list", with(deployment, "image:", "imge: x, image:"), Invalid,
			`Deployment/NS/api: .spec.template.spec.containers[name="api"].imge: field not declared in schema; correct it in Git`},
		{"wrong types", with(with(deployment, "replicas: 2", "replicas: two"), "team: posts", "team: 5"), Invalid,
			"Deployment/NS/api: .metadata.labels.team: expected string, got 5; .spec.replicas: expected numeric (int or float), got string; correct it in Git"},
		{"labels that are a list", with(deployment, "labels: {team: posts}", "labels: [team]"), Invalid,
			"Deployment/NS/api: metadata.labels is not a map; correct it in Git"},
		{"duplicate names in a list", with(deployment, "[{name: api,", "[{name: api, image: x}, {name: api,"), Invalid,
			`Deployment/NS/api: .spec.template.spec.containers: duplicate entries for key [name="api"]; correct it in Git`},
		{"not a quantity", with(deployment, "image:", "resources: {limits: {cpu: lots}}, image:"), Invalid,
			"Deployment/NS/api: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'; correct it in Git"},
		{"too large for etcd", with(deployment, "image:", "args: ["+strings.Repeat("a", 2<<20)+"], image:"), Invalid,
			"Deployment/NS/api: is too large for the cluster's store; correct it in Git"},
		{"too large for the server", with(deployment, "image:", "args: ["+strings.Repeat("a", 3<<20)+"], image:"), Invalid,
			"Deployment/NS/api: Request entity too large: limit is 3145728; correct it in Git"},
		{"too large for its kind", with(configMap, "mode: fast", "large: "+strings.Repeat("a", 1<<20+1)), Invalid,
			"ConfigMap/NS/settings: Too long: may not be more than 1048576 bytes; correct it in Git"},
		{"unknown kind", "{apiVersion: example.com/v1, kind: Unheard, metadata: {name: x, namespace: NS}}", NotServed,
			"Unheard/NS/x: the cluster has no kind Unheard in example.com/v1; correct apiVersion and kind, or install what defines them"},
		{"unknown version", with(deployment, "apps/v1", "apps/v1beta2"), NotServed,
			"Deployment/NS/api: the cluster has no kind Deployment in apps/v1beta2, but in apps/v1; correct apiVersion and kind, or install what defines them"},
		{"no namespace", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", Invalid,
			"ConfigMap/x: has no namespace, but its kind lives in one; correct it in Git"},
		{"a namespace too many", "{apiVersion: v1, kind: Namespace, metadata: {name: x, namespace: NS}}", Invalid,
			"Namespace/NS/x: has a namespace, but its kind is cluster-scoped; correct it in Git"},
		{"unknown namespace", with(configMap, "NS", "nowhere"), Transient,
			`ConfigMap/nowhere/settings: namespaces "nowhere" not found; it is tried again`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.refused(test.class, "infra/app.yaml:12: "+test.want, w.do(plan.Create, test.text, nil))
		})
	}
}

// The messages about changes of immutable fields.
func TestRefusalsOfChanges(t *testing.T) {
	const service = "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: NS}, spec: {ports: [{port: 80}]}}"
	const hint = "; revert the change in Git, or re-create the object with the annotation berth.dev/replace: when-immutable"
	const data = "; revert the change in Git; Berth does not delete what holds data to change it"
	for _, test := range []struct {
		name, before, text string
		class              Class
		want               string
	}{
		{"selector", deployment, with(deployment, "app: api", "app: web"), Immutable,
			"Deployment/NS/api: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\"}}: field is immutable" + hint},
		{"immutable, and invalid too", deployment, with(with(deployment, "app: api", "app: web"), "replicas: 2", "replicas: -1"), Invalid,
			"Deployment/NS/api: spec.replicas: Invalid value: -1: must be greater than or equal to 0; " +
				"spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\"}}: field is immutable; correct it in Git"},
		{"immutable ConfigMap", configMap + "immutable: true", with(configMap, "fast", "slow") + "immutable: true", Immutable,
			"ConfigMap/NS/settings: data: Forbidden: field is immutable when `immutable` is set" + hint},
		{"address of a Service", service, with(service, "ports:", "clusterIP: None, ports:"), Immutable,
			`Service/NS/api: spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set` + hint},
		{"role of a RoleBinding", roleBinding, with(roleBinding, "name: view", "name: edit"), Immutable,
			`RoleBinding/NS/readers: roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"ClusterRole","Name":"edit"}: cannot change roleRef` + hint},
		{"StatefulSet", statefulSet, with(statefulSet, "serviceName: db", "serviceName: other"), Immutable,
			"StatefulSet/NS/db: spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', " +
				"'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden" + hint},
		{"volume claim", claim, with(claim, "ReadWriteOnce", "ReadOnlyMany"), Immutable,
			"PersistentVolumeClaim/NS/db: spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims" + data},
		{"priority class", priority, with(priority, "value: 7", "value: 8"), Immutable,
			"PriorityClass/NS: value: Forbidden: may not be changed in an update." + hint},
		{"parameters of a storage class", storage, with(storage, "fast: 'yes'", "fast: 'no'"), Immutable,
			`StorageClass/NS: parameters: Invalid value: {"fast":"no"}: field is immutable` + hint},
		{"pod", pod, with(pod, "name: a", "name: b"), Immutable,
			"Pod/NS/one: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initC … " +
				"ntainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
				"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)" + hint},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			result := w.do(plan.Change, test.text, w.created(test.before))
			w.refused(test.class, "infra/app.yaml:12: "+test.want, result)
		})
	}
}

const (
	roleBinding = "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: readers, namespace: NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}, subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: NS-ada}]}"
	statefulSet = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: NS}, spec: {serviceName: db, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: a, image: b}]}}}}"
	claim       = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: db, namespace: NS}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}"
	priority    = "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: NS}, value: 7}"
	storage     = "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: NS}, provisioner: example.com/disk, parameters: {fast: 'yes'}}"
	pod         = "{apiVersion: v1, kind: Pod, metadata: {name: one, namespace: NS}, spec: {automountServiceAccountToken: false, serviceAccountName: one, containers: [{name: a, image: b}]}}"
)

// No message about a Secret holds its values, whatever the server quotes.
func TestRefusalsOfSecrets(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"wrong type", with(secret, "c2VzYW1l", "{deep: sesame}"), ".data.password: is refused; correct it in Git"},
		{"a text for a map", with(secret, "{password: c2VzYW1l}", "sesame"), ".data: is refused; correct it in Git"},
		{"unknown field", with(secret, "\ndata:", "\ndta:"), ".dta: is refused; correct it in Git"},
		{"not Base64", with(secret, "c2VzYW1l", "'sesame!'"), "data is not base64; correct it in Git"},
		{"not what its type says", with(secret, "data: {password:", "type: kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson:"), "data[.dockerconfigjson]: is refused; correct it in Git"},
		{"a quoted value", with(secret, "metadata: {", "metadata: {labels: {a: 'sesame!'}, "), "metadata.labels: is refused; correct it in Git"},
		{"a value for a kind", secret + "type: {sesame: x}", ".type: is refused; correct it in Git"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			result := w.do(plan.Create, test.text, nil)
			w.refused(Invalid, "infra/app.yaml:12: Secret/NS/login: "+test.want, result)
			for err := error(result.Err); err != nil; err = errors.Unwrap(err) {
				if text := fmt.Sprintf("%v %#v", err, err); strings.Contains(text, "sesame") || strings.Contains(text, "c2VzYW1l") {
					t.Errorf("the value stands in %s", text)
				}
			}
		})
	}
}

// The kinds of an entry's decryption.kinds may hold the same values as Secrets.
func TestRefusalsOfKindsThatMayHoldSecrets(t *testing.T) {
	w := newWorld(t)
	w.target.Decrypted = manifest.Kinds{"ConfigMap"}
	result := w.do(plan.Create, with(configMap, "{mode: fast}", "{mode: {deep: sesame}}"), nil)
	w.refused(Invalid, "infra/app.yaml:12: ConfigMap/NS/settings: .data.mode: is refused; correct it in Git", result)
	if text := fmt.Sprintf("%v %#v", result.Err, result.Err.Err); strings.Contains(text, "sesame") {
		t.Errorf("the value stands in %s", text)
	}
}

func TestUnreachableServer(t *testing.T) {
	w := newWorld(t, func(c *rest.Config, _ *Config) { c.Host = "https://127.0.0.1:1" })
	w.refused(Transient, "infra/app.yaml:12: ConfigMap/NS/settings: the API server could not be asked: connect: connection refused; it is tried again",
		w.do(plan.Create, configMap, nil))
}

func TestSlowServer(t *testing.T) {
	w := newWorld(t, transport(func(r *http.Request) { <-r.Context().Done() }), func(_ *rest.Config, c *Config) { c.Timeout = time.Millisecond })
	w.refused(Unanswered, "infra/app.yaml:12: ConfigMap/NS/settings: the API server did not answer in time; it is tried again",
		w.do(plan.Create, configMap, nil))
}

// An answer that does not concern a Secret's content is shown, but not the body of an unknown page.
func TestAnswersAboutSecretsByOthers(t *testing.T) {
	page := apierrors.NewGenericServerResponse(http.StatusBadGateway, "patch", schema.GroupResource{Resource: "secrets"}, "login", "<html>sesame</html>", 3, true)
	w := newWorld(t)
	e := (&run{Applier: w.applier}).explain(w.step(plan.Create, secret, nil), page)
	want := "infra/app.yaml:12: Secret/" + w.namespace + "/login: the API server answered 502 Bad Gateway; it is tried again"
	if e.Message != want || e.RetryAfter != 3*time.Second || strings.Contains(fmt.Sprintf("%#v", e.Err), "sesame") {
		t.Errorf("got %s (after %s, cause %#v), want %s", e.Message, e.RetryAfter, e.Err, want)
	}
}

// The API server of these tests cannot be made to give these answers.
func TestClassesOfRareAnswers(t *testing.T) {
	things := schema.GroupResource{Group: "example.com", Resource: "things"}
	for _, test := range []struct {
		name  string
		err   error
		class Class
	}{
		{"too many requests", apierrors.NewTooManyRequests("later", 7), Transient},
		{"server timeout", apierrors.NewServerTimeout(things, "patch", 7), Transient},
		{"gateway timeout", apierrors.NewTimeoutError("slow", 0), Unanswered},
		{"unavailable", apierrors.NewServiceUnavailable("apiserver is shutting down"), Transient},
		{"internal error", apierrors.NewInternalError(errors.New("etcd leader changed")), Transient},
		{"unauthorized", apierrors.NewUnauthorized("token expired"), Forbidden},
		{"no such method", apierrors.NewMethodNotSupported(things, "patch"), Invalid},
		{"resource not found", apierrors.NewGenericServerResponse(404, "patch", things, "x", "404 page not found", 0, true), NotServed},
		{"422 without causes", &apierrors.StatusError{ErrStatus: metav1.Status{Code: 422, Reason: metav1.StatusReasonInvalid, Message: "no"}}, Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			r := &run{Applier: w.applier}
			e := r.explain(w.step(plan.Create, configMap, nil), test.err)
			if e.Class != test.class {
				t.Errorf("got %s, want %s", e.Class, test.class)
			}
			if seconds, ok := apierrors.SuggestsClientDelay(test.err); ok && e.RetryAfter != time.Duration(seconds)*time.Second {
				t.Errorf("the wait of %d s is lost: %s", seconds, e.RetryAfter)
			}
		})
	}
}

func TestLongCausesAreShortened(t *testing.T) {
	long := "spec.template: Invalid value: " + strings.Repeat("{é}", 300) + ": field is immutable"
	got := shorten(long)
	if len(got) > maxCause+10 || !strings.HasPrefix(got, "spec.template: Invalid value: {é}") || !strings.HasSuffix(got, ": field is immutable") || strings.ToValidUTF8(got, "?") != got {
		t.Errorf("got %q", got)
	}
	var list []metav1.StatusCause
	for i := range 10 {
		list = append(list, metav1.StatusCause{Field: fmt.Sprintf("f%d", 9-i), Message: "no"})
	}
	if got, want := causes(list), "f0: no; f1: no; f2: no; f3: no; f4: no; f5: no; f6: no; f7: no; and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
