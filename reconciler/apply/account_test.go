package apply

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// users records the user of each request: "PATCH configmaps user".
type users struct {
	mu   sync.Mutex
	seen []string
}

func (u *users) see(r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	parts := strings.Split(r.URL.Path, "/")
	u.seen = append(u.seen, strings.TrimSpace(r.Method+" "+parts[len(parts)-2]+" "+r.Header.Get("Impersonate-User")))
}

// impersonating configures a world whose applier acts as the accounts of environments, beside an agent with all
// rights.
func impersonating(u *users) func(*rest.Config, *Config) {
	return func(c *rest.Config, config *Config) {
		transport(u.see)(c, config)
		over, err := rest.HTTPClientFor(c)
		if err != nil {
			panic(err)
		}
		config.As = Impersonate(c, over)
	}
}

// environmentRole creates the ClusterRole berth-environment, with only the right to write ConfigMaps.
func (w *world) environmentRole() {
	w.t.Helper()
	role := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": manifest.EnvironmentRole},
		"rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"configmaps"}, "verbs": []any{"get", "create", "patch", "delete"}}},
	}}
	roles := w.admin.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"})
	if _, err := roles.Apply(w.t.Context(), manifest.EnvironmentRole, role, metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) binding() plan.Step {
	o := manifest.Binding(w.namespace, environment)
	return plan.Step{Action: plan.Create, Key: o.Key(), Object: &o}
}

// The binding is written a moment before the objects that need it, and no object waits for another pass.
func TestTheFirstWritesAwaitTheRightsOfTheAccount(t *testing.T) {
	var seen users
	w := newWorld(t, impersonating(&seen))
	w.environmentRole()
	w.target.User, w.target.Namespace = manifest.User(w.namespace, manifest.DefaultAccount), w.namespace
	binding, settings := w.binding(), w.step(plan.Create, configMap, nil)
	settings.Stage = 1
	for _, result := range w.applier.Run(t.Context(), w.target, []plan.Step{settings, binding}) {
		w.must(Created, result)
	}
	user := "system:serviceaccount:" + w.namespace + ":berth-apply"
	if seen.seen[0] != "PATCH rolebindings" || !slices.Contains(seen.seen, "PATCH configmaps "+user) {
		t.Errorf("got the requests %q, want the binding by the agent itself, and then the ConfigMap by %s", seen.seen, user)
	}
	if slices.Contains(seen.seen, "PATCH configmaps") {
		t.Errorf("got the requests %q, want none for the ConfigMap by the agent itself", seen.seen)
	}
}

// Once the account has written an object, a new grant no longer explains a refusal.
func TestALackOfRightsIsTriedAgainOnlyUntilTheGrantIsKnown(t *testing.T) {
	w := newWorld(t, impersonating(&users{}))
	w.environmentRole()
	w.target.User, w.target.Namespace = manifest.User(w.namespace, manifest.DefaultAccount), w.namespace
	steps := []plan.Step{w.binding(), w.step(plan.Create, configMap, nil), w.step(plan.Create, secret, nil)}
	for i := range steps {
		steps[i].Stage = i
	}
	results := w.applier.Run(t.Context(), w.target, steps)
	w.must(Created, results[0])
	w.must(Created, results[1])
	w.classed(Forbidden, results[2])
}

// The message about a missing right of the account names the command that grants it.
func TestWhatAnAccountLacks(t *testing.T) {
	for _, test := range []struct{ name, account, text, want string }{
		{"the default account", manifest.DefaultAccount, secret, `Secret/NS/login: User "system:serviceaccount:NS:berth-apply" cannot patch resource "secrets" in API group "" in the namespace "NS"; ` +
			"to allow it in all environments, add a ClusterRole with the label berth.dev/aggregate-to-environment: kubectl create clusterrole berth-environment-secrets --verb=get,list,watch,create,patch,delete --resource=secrets && kubectl label clusterrole berth-environment-secrets berth.dev/aggregate-to-environment=true"},
		{"a named account", "deployer", deployment, `Deployment/NS/api: User "system:serviceaccount:NS:deployer" cannot patch resource "deployments" in API group "apps" in the namespace "NS"; ` +
			"grant it to the account: kubectl create role deployer-deployments -n NS --verb=get,list,watch,create,patch,delete --resource=deployments.apps && kubectl create rolebinding deployer-deployments -n NS --role=deployer-deployments --serviceaccount=NS:deployer"},
		{"a named account and the cluster", "deployer", "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast}, provisioner: x}", `StorageClass/fast: User "system:serviceaccount:NS:deployer" cannot patch resource "storageclasses" in API group "storage.k8s.io" at the cluster scope; ` +
			"grant it to the account: kubectl create clusterrole deployer-storageclasses --verb=get,list,watch,create,patch,delete --resource=storageclasses.storage.k8s.io && kubectl create clusterrolebinding deployer-storageclasses --clusterrole=deployer-storageclasses --serviceaccount=NS:deployer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, impersonating(&users{}))
			w.target.User, w.target.Namespace = manifest.User(w.namespace, test.account), w.namespace
			w.refused(Forbidden, "infra/app.yaml:12: "+test.want, w.do(plan.Create, test.text, nil))
		})
	}
}

// The message about a missing right of the agent says how to grant it.
func TestWhatTheAgentLacks(t *testing.T) {
	w := newWorld(t, as("system:serviceaccount:berth:berth"))
	binding := w.binding()
	result := w.applier.Run(t.Context(), w.target, []plan.Step{binding})[0]
	w.refused(Forbidden, "the environment: "+binding.Key.String()+`: User "system:serviceaccount:berth:berth" cannot patch resource "rolebindings" in API group "rbac.authorization.k8s.io" in the namespace "NS"; `+
		"apply the manifests of this version of Berth again: kubectl apply --server-side -k deploy", result)
	const cannot = `serviceaccounts "ACCOUNT" is forbidden: User "system:serviceaccount:berth:berth" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "posts"`
	for account, want := range map[string]string{
		"berth-apply": "apply the manifests of this version of Berth again: kubectl apply --server-side -k deploy",
		"deployer": "let the agent act as the account deployer: kubectl create role berth-impersonate-deployer -n posts --verb=impersonate --resource=serviceaccounts --resource-name=deployer && " +
			"kubectl create rolebinding berth-impersonate-deployer -n posts --role=berth-impersonate-deployer --serviceaccount=berth:berth",
	} {
		err := &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: strings.ReplaceAll(cannot, "ACCOUNT", account)}}
		if got := remedy(plan.Step{}, err); got != want {
			t.Errorf("%s:\n got %s\nwant %s", account, got, want)
		}
	}
}
