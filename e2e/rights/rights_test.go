package rights

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/reconciler/manifest"
)

// A rule that nothing uses is a way in that nobody watches; a request that is refused is a fault that a user meets.
func TestTheAgentUsesExactlyWhatItIsGranted(t *testing.T) {
	a := begin(t)
	team := a.begins(t)
	team.livesThroughEverything(t)

	used := a.used(t)
	grants := granted(t)
	maps.Copy(grants, a.roleRights(t, "berth-page"))
	// The recorder counts an event that repeats while the object that it is about does not change. Berth avoids such events,
	// so no scenario can force one.
	delete(grants, right{home: true, verb: "patch", group: "events.k8s.io", resource: "events"})
	for _, line := range used.unused(grants) {
		t.Errorf("deploy/ grants what the agent did not use: %s", line)
	}
	for _, line := range used.unexplained(grants, a.roleRights(t, "berth-agent-watch"), a.roleRights(t, "system:basic-user")) {
		t.Errorf("the agent used what neither its roles nor berth-agent-watch grant: %s", line)
	}
	for _, line := range used.refused {
		t.Errorf("the agent was refused: %s", line)
	}
	for _, line := range used.borrowed {
		t.Errorf("the agent used the account of another namespace: %s", line)
	}
	t.Logf("%d rights of its own were used", len(used.rights))
}

// team is a repository whose environments need every right.
type team struct {
	*world.Repository
	agents *agents
	git    *gittest.Repository
}

const (
	name     = "life"
	settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: green}\n"
	keys     = "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: swordfish}\n"
	role     = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]\n"
	account  = "deployer"
)

// begins sets up a Repository with production in a namespace of its own account, staging in a namespace that existed
// before, and previews.
func (a *agents) begins(t *testing.T) *team {
	t.Helper()
	a.applies(t, strings.ReplaceAll(deployer, "NS", name))
	a.applies(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: life-staging}\n")
	scope, err := os.ReadFile(filepath.Join("..", "..", "deploy", "components", "cluster-scope", "cluster_role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	a.applies(t, string(scope))
	server := gittest.NewServer(t)
	git := server.Repository(name)
	a.SetSecret(t, "hooks", map[string]string{"token": "swordfish"})
	health := v1alpha1.Health{Timeout: seconds(60)}
	bounds := &v1alpha1.NamespaceTemplate{
		ResourceQuota:   &corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("9")}},
		LimitRange:      &corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}}}},
		NetworkPolicies: []v1alpha1.NetworkPolicy{{Name: "closed"}},
	}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: git.URL(), Poll: "@every 1s", GoneAfter: seconds(1),
		Webhook: &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "hooks"}},
		Environments: []v1alpha1.Entry{
			{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "production", Namespace: name, Health: health,
				Scope: v1alpha1.ScopeCluster, ServiceAccountName: account, OnRemoval: v1alpha1.RemovalDelete},
			{Name: "staging", Branches: []v1alpha1.BranchPattern{"staging"}, Path: "k8s", Namespace: "life-staging", Health: health,
				NamespaceTemplate: bounds, OnRemoval: v1alpha1.RemovalDelete},
			{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main", "!staging"}, Path: "k8s", Namespace: "life-${BRANCH_SLUG}", Health: health},
		},
	}}
	repository.Name = name
	return &team{Repository: a.Follow(t, repository), agents: a, git: git}
}

func (team *team) livesThroughEverything(t *testing.T) {
	t.Helper()
	a := team.agents
	production, staging, login := team.Environment("main"), team.Environment("staging"), team.Environment("login")
	production.Becomes("Healthy", team.git.Commit("main", map[string]string{"production/app.yaml": settings, "production/kind.yaml": definition, "k8s/app.yaml": settings + "---\n" + keys + "---\n" + role}, "begin"))
	commit := team.git.CommitFrom("main", "staging", nil, "begin staging")
	staging.Becomes("Healthy", commit)
	login.Becomes("Healthy", team.git.CommitFrom("main", "login", nil, "begin login"))

	// What the agent owns is reverted, and found again if it lost its label.
	id := staging.Object("ConfigMap/settings").GetLabels()[manifest.LabelEnvironment]
	for resource, suffix := range map[string]string{"rolebindings": "", "resourcequotas": "", "limitranges": "", "networkpolicies": ".closed"} {
		object := map[bool]string{true: "berth-apply.", false: "berth-namespace."}[resource == "rolebindings"] + id + suffix
		a.unlabels(t, resource, "life-staging", object)
	}
	a.unlabels(t, "namespaces", "", "life-login")

	staging.Patch("ConfigMap/settings", `{"data":{"colour":"red"}}`)
	staging.AwaitObject("ConfigMap/settings", "is as in Git", func(o world.Object) bool { return o.Field("data.colour") == "green" })
	a.loses(t, login)

	// What refuses an object is watched, and the object is tried again when that goes.
	for _, refuses := range []struct{ what, manifests, says string }{
		{"validating", policy, "precious things stay"},
		{"mutating", mutation, "denied request"},
		{"webhook", webhook, "failed calling webhook"},
	} {
		lift := a.applies(t, refuses.manifests)
		world.Await(t, "what refuses is in force: "+refuses.what, func() (string, bool) {
			err := fmt.Sprint(a.tries(t, "life-staging"))
			return err, strings.Contains(err, refuses.says)
		})
		content := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: precious}\ndata: {because: " + refuses.what + "}\n"
		commit = team.git.Commit("staging", map[string]string{"k8s/precious.yaml": content}, "add")
		staging.Becomes("Failed", commit, refuses.says)
		lift()
		staging.Becomes("Healthy", commit)
		staging.Delete("ConfigMap/precious")
	}

	// A replica that does not lead notifies the leader. On a slow machine they may have changed roles while one was frozen.
	for _, hooks := range []string{a.standbyHooks, a.leaderHooks} {
		if status := delivers(t, hooks); status/100 != 2 {
			t.Fatalf("%s answered the webhook with %d", hooks, status)
		}
	}
	world.Await(t, "the standby notifies the leader", func() (string, bool) {
		return "", team.Get().Annotations[v1alpha1.AnnotationRequested] != ""
	})

	a.opensThePage(t, login)

	// The bounds of a namespace, a branch, and in the end everything goes.
	entries := team.Get().Spec.Environments
	entries[1].NamespaceTemplate = nil
	text, err := json.Marshal(map[string]any{"spec": map[string]any{"environments": entries}})
	if err != nil {
		t.Fatal(err)
	}
	team.Patch(string(text))
	world.Await(t, "the bounds of life-staging are gone", func() (string, bool) {
		list, err := a.admin.CoreV1().ResourceQuotas("life-staging").List(t.Context(), metav1.ListOptions{})
		return fmt.Sprint(err), err == nil && len(list.Items) == 0
	})
	team.git.Delete("login")
	login.AwaitEnd()
	team.Remove()
	world.Await(t, "all environments are gone", func() (string, bool) {
		left := team.Environments()
		return fmt.Sprint(len(left)), len(left) == 0
	})
}

// definition is a kind that production brings.
const definition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ferries.life.example.com}
spec:
  group: life.example.com
  scope: Namespaced
  names: {plural: ferries, kind: Ferry}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// policy rejects the ConfigMap precious.
const policy = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: precious}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: ["*"], resources: [configmaps], resourceNames: [precious], operations: [CREATE]}]
  validations: [{expression: "false", message: precious things stay}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: precious}
spec: {policyName: precious, validationActions: [Deny]}
`

// mutation rejects it because it cannot be computed.
const mutation = `apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: precious}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: ["*"], resources: [configmaps], resourceNames: [precious], operations: [CREATE, UPDATE]}]
  mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'a': object.data['nothing']}}}"}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: precious}
spec: {policyName: precious}
`

// webhook rejects it because nothing answers.
const webhook = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: precious}
webhooks:
- name: precious.example.com
  failurePolicy: Fail
  sideEffects: None
  timeoutSeconds: 1
  admissionReviewVersions: [v1]
  clientConfig: {url: "https://127.0.0.1:1/"}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: life-staging}}
  rules: [{apiGroups: [""], apiVersions: ["*"], resources: [configmaps], operations: [CREATE, UPDATE]}]
`

// deployer is what an administrator grants to the account of an entry with scope Cluster, as docs/security.md says.
const deployer = `apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: berth-impersonate-deployer, namespace: NS}
rules: [{apiGroups: [""], resources: [serviceaccounts], resourceNames: [deployer], verbs: [impersonate]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: berth-impersonate-deployer, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: berth-impersonate-deployer}
subjects: [{kind: ServiceAccount, name: berth, namespace: berth}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: berth-environment}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: deployer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: berth-cluster-scope}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NS}]
`

// applies applies manifests as an administrator, and returns what deletes them.
func (a *agents) applies(t *testing.T, manifests string) (removes func()) {
	t.Helper()
	var objects []*unstructured.Unstructured
	for _, text := range strings.Split(manifests, "---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	if err := clustertest.Apply(t.Context(), a.Cluster.RESTConfig(), objects...); err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, object := range objects {
			resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
			if err := a.client.Resource(resource).Namespace(object.GetNamespace()).Delete(context.Background(), object.GetName(), metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}
	}
}

// loses deletes the Environment of a preview whatever its finalizers say, and waits until it is re-created.
func (a *agents) loses(t *testing.T, environment *world.Environment) {
	t.Helper()
	before, _ := environment.Get()
	client := a.client.Resource(schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: "environments"}).Namespace(before.Namespace)
	if err := a.leader.Freeze(); err != nil { // or it would tear the environment down
		t.Fatal(err)
	}
	err := client.Delete(t.Context(), before.Name, metav1.DeleteOptions{})
	if err == nil {
		_, err = client.Patch(t.Context(), before.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	}
	if err := errors.Join(err, a.leader.Thaw()); err != nil {
		t.Fatal(err)
	}
	world.Await(t, "the Environment is re-created", func() (string, bool) {
		now, there := environment.Get()
		return fmt.Sprint(there), there && now.UID != before.UID
	})
	environment.Becomes("Healthy", before.Spec.Commit)
}

// tries tries to create the ConfigMap precious.
func (a *agents) tries(t *testing.T, namespace string) error {
	t.Helper()
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "precious"}}
	_, err := a.admin.CoreV1().ConfigMaps(namespace).Create(t.Context(), configMap, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// unlabels removes an object's label of the environment, and waits until the agent restored it.
func (a *agents) unlabels(t *testing.T, resource, namespace, object string) {
	t.Helper()
	group := map[string]string{"rolebindings": "rbac.authorization.k8s.io", "networkpolicies": "networking.k8s.io"}[resource]
	client := a.client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}).Namespace(namespace)
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, manifest.LabelEnvironment)
	if _, err := client.Patch(t.Context(), object, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	world.Await(t, resource+"/"+object+" has its label again", func() (string, bool) {
		now, err := client.Get(t.Context(), object, metav1.GetOptions{})
		return fmt.Sprint(err), err == nil && now.GetLabels()[manifest.LabelEnvironment] != ""
	})
}

// delivers sends a webhook, and returns the status of the answer.
func delivers(t *testing.T, address string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/hooks/"+name, strings.NewReader(`{"object_kind":"push"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Gitlab-Token", "swordfish")
	request.Header.Set("X-Gitlab-Event", "Push Hook")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

func seconds(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }
