package hostile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// role returns a Role with one rule; binds returns a RoleBinding for the branch's own account.
func role(rule string) string {
	return "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: power}\nrules: [" + rule + "]\n"
}

func binds(kind, name string) string {
	return "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: power}\n" +
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: " + kind + ", name: " + name + "}\n" +
		"subjects: [{kind: ServiceAccount, name: thief}]\n"
}

const patchesNamespaces = "{apiGroups: [''], resources: [namespaces], verbs: [get, patch]}"

// With the agent's rights, a branch's pods once deleted production, and ran privileged.
func TestABranchThatGrantsItselfMore(t *testing.T) {
	t.Parallel()
	everybody := strings.Replace(binds("ClusterRole", "view"), "{kind: ServiceAccount, name: thief}", "{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:authenticated'}", 1)
	with := func(manifest string) map[string]string { return map[string]string{"k8s/power.yaml": manifest} }
	attempts(t, "grants", []attempt{
		{"the role of the agent", with(binds("ClusterRole", "berth-agent")), []string{"k8s/power.yaml:1: RoleBinding/power: it binds the ClusterRole berth-agent, which is Berth's own"}},
		{"the role of environments", with(binds("ClusterRole", "berth-environment")), []string{"k8s/power.yaml:1: RoleBinding/power: it binds the ClusterRole berth-environment, which is Berth's own"}},
		{"its namespace", with(role(patchesNamespaces)), []string{"k8s/power.yaml:1: Role/power: it grants rights on namespaces"}},
		{"everything", with(role("{apiGroups: ['*'], resources: ['*'], verbs: ['*']}")), []string{"k8s/power.yaml:1: Role/power: it grants rights on namespaces"}},
		{"other accounts", with(role("{apiGroups: [''], resources: [serviceaccounts], verbs: [impersonate]}")), []string{"k8s/power.yaml:1: Role/power: it grants the verb impersonate"}},
		{"any role", with(role("{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [bind]}")), []string{"k8s/power.yaml:1: Role/power: it grants the verb bind"}},
		{"itself to everybody", with(everybody), []string{"k8s/power.yaml:1: RoleBinding/power: it grants rights to system:authenticated, which is everybody"}},
		{"the account of environments", with("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: berth-apply}\n"), []string{"k8s/power.yaml:1: ServiceAccount/berth-apply: its name is reserved for Berth"}},
	})
}

// A refusal of the cluster shows only in the status, because a first sync continues with the other objects.
func TestABranchThatGrantsItselfWhatItLacks(t *testing.T) {
	t.Parallel()
	posts := begins(t, "lacks")
	for name, manifest := range map[string]string{
		"quotas":  role("{apiGroups: [''], resources: [resourcequotas], verbs: [delete]}"),
		"cluster": binds("ClusterRole", "cluster-admin"),
	} {
		evil := posts.pushes(name, map[string]string{"k8s/power.yaml": manifest})
		evil.Becomes("Failed", evil.commit, "k8s/power.yaml:1", "/power: grants what the account that applies it may not do itself", "remove these rights from the manifest")
	}
	posts.felt()
}

// With scope Cluster the agent does not check the manifests itself: the account's rights are the only limit. RBAC alone
// then refuses the same to an account that has the rights of every environment.
func TestTheClusterRefusesWhatTheAgentDoesNotLookAt(t *testing.T) {
	t.Parallel()
	administrator(t, deployerOf("unchecked"))
	posts := begins(t, "unchecked", func(r *v1alpha1.Repository) {
		r.Spec.Environments[0].Scope, r.Spec.Environments[0].ServiceAccountName = v1alpha1.ScopeCluster, "deployer"
	})
	for name, row := range map[string]struct{ manifest, refused string }{
		"Role/unchecked/power":        {role(patchesNamespaces), "grants what the account that applies it may not do itself"},
		"RoleBinding/unchecked/power": {binds("ClusterRole", "berth-agent"), "grants what the account that applies it may not do itself"},
		"ResourceQuota/unchecked/few": {"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\nspec: {hard: {pods: 1k}}\n", `User "system:serviceaccount:unchecked:deployer" cannot patch resource "resourcequotas"`},
		"Namespace/taken":             {"apiVersion: v1\nkind: Namespace\nmetadata: {name: taken}\n", `User "system:serviceaccount:unchecked:deployer" cannot patch resource "namespaces"`},
		"ConfigMap/kube-system/taken": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: taken, namespace: kube-system}\n", `User "system:serviceaccount:unchecked:deployer" cannot patch resource "configmaps" in API group "" in the namespace "kube-system"`},
	} {
		files := application()
		files["k8s/power.yaml"] = row.manifest
		commit := posts.git.Commit("main", files, "try "+name)
		posts.production.Becomes("Failed", commit, "nothing of this commit was applied", name, row.refused)
	}
	posts.production.Becomes("Healthy", posts.git.Change("main", "give up", gittest.Remove("k8s/power.yaml")))
}

// A branch gives its pods all rights that it has, and they try to use others with their token.
func TestTheAccountOfABranchsPods(t *testing.T) {
	t.Parallel()
	posts := begins(t, "inside")
	evil := posts.pushes("evil", map[string]string{"k8s/power.yaml": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: thief}\n---\n" + binds("ClusterRole", "admin")})
	evil.isHealthy()
	thief := as(t, evil.Namespace(), "thief")
	privileged := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"root","namespace":%q},"spec":{"hostPID":true,"containers":[{"name":"a","image":"a","securityContext":{"privileged":true}}]}}`, evil.Namespace())
	world.Always(t, 2*time.Second, "the pods of a branch stay within what its namespace admits", func() (string, bool) {
		for _, label := range []string{"pod-security.kubernetes.io/enforce", "berth.dev/environment"} {
			_, err := thief.Resource(namespaces).Patch(t.Context(), evil.Namespace(), types.MergePatchType, []byte(`{"metadata":{"labels":{"`+label+`":"privileged"}}}`), metav1.PatchOptions{})
			if !apierrors.IsForbidden(err) {
				return fmt.Sprintf("%s was changed: %v", label, err), false
			}
		}
		err := creates(t, thief, privileged)
		return fmt.Sprint(err), apierrors.IsForbidden(err)
	})
	for name, manifest := range map[string]string{
		"the agent's rights":                       strings.Replace(binds("ClusterRole", "berth-agent"), "name: power}", "name: more, namespace: "+evil.Namespace()+"}", 1),
		"production's namespace":                   "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: inside}}",
		"the agent's namespace":                    "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: berth}}",
		"a token of the account of environments":   "{apiVersion: v1, kind: ServiceAccount, metadata: {name: berth-apply, namespace: " + evil.Namespace() + "}}",
		"another environment's account, by a Role": "{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: x, namespace: inside, annotations: {kubernetes.io/service-account.name: default}}}",
	} {
		if err := creates(t, thief, manifest); !apierrors.IsForbidden(err) {
			t.Errorf("%s: got %v, want it to be refused", name, err)
		}
	}
	// It may delete its own environment's bindings, and the agent restores them.
	bindings := thief.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}).Namespace(evil.Namespace())
	list, err := bindings.List(t.Context(), metav1.ListOptions{LabelSelector: "berth.dev/environment"})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list.Items {
		if strings.HasPrefix(b.GetName(), "berth-apply.") {
			if err := bindings.Delete(t.Context(), b.GetName(), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			world.Await(t, "the environment has its rights again", func() (string, bool) {
				now, err := bindings.Get(t.Context(), b.GetName(), metav1.GetOptions{})
				return fmt.Sprint(err), err == nil && now.GetUID() != b.GetUID()
			})
		}
	}
	posts.felt()
}

// A user who may change any Namespace still cannot change which pods an environment's namespace admits: a policy
// rejects what RBAC allows.
func TestSomebodyWhoMayChangeNamespaces(t *testing.T) {
	t.Parallel()
	posts := begins(t, "labels")
	evil := posts.pushes("evil", map[string]string{"k8s/power.yaml": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: thief}\n"})
	evil.isHealthy()
	administrator(t, strings.ReplaceAll(`apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: labels-namespaces}
rules: [{apiGroups: [""], resources: [namespaces], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: labels-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: labels-namespaces}
subjects: [{kind: ServiceAccount, name: thief, namespace: NS}]
`, "NS", evil.Namespace()))
	thief := as(t, evil.Namespace(), "thief")
	world.Await(t, "the thief may change namespaces", func() (string, bool) {
		_, err := thief.Resource(namespaces).Patch(t.Context(), evil.Namespace(), types.MergePatchType, []byte(`{"metadata":{"labels":{"team":"mine"}}}`), metav1.PatchOptions{})
		return fmt.Sprint(err), err == nil
	})
	for _, namespace := range []string{evil.Namespace(), "labels"} {
		for _, patch := range []string{
			`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`,
			`{"metadata":{"labels":{"berth.dev/environment":null}}}`,
			`{"metadata":{"annotations":{"berth.dev/branch":"another"}}}`,
		} {
			_, err := thief.Resource(namespaces).Patch(t.Context(), namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			if err == nil || !strings.Contains(err.Error(), "belongs to an environment of Berth") {
				t.Errorf("%s on %s: got %v, want it to be refused", patch, namespace, err)
			}
		}
	}
	posts.felt()
}

// An entry's namespaceTemplate bounds a branch's resources and network traffic. The branch cannot widen these bounds,
// and the agent reverts it if other users do.
func TestABranchThatWidensTheBoundsOfItsNamespace(t *testing.T) {
	t.Parallel()
	posts := begins(t, "bounds", func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].NamespaceTemplate = &v1alpha1.NamespaceTemplate{
			Labels:          map[string]v1alpha1.LabelValue{"pod-security.kubernetes.io/warn": "restricted"},
			ResourceQuota:   &corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/configmaps": resource.MustParse("3")}},
			NetworkPolicies: []v1alpha1.NetworkPolicy{{Name: "own"}},
		}
	})
	const open = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: open}\nspec: {podSelector: {}, ingress: [{}]}\n"
	evil := posts.pushes("evil", map[string]string{"k8s/open.yaml": open})
	evil.Becomes("Failed", evil.commit, "k8s/open.yaml:1", "NetworkPolicy/bounds-evil/open", "the NetworkPolicies of this namespace are those of namespaceTemplate in its entry")
	evil.commit = posts.git.CommitFrom("main", "evil", map[string]string{"k8s/more.yaml": strings.Join([]string{configMap("one"), configMap("two"), configMap("three")}, "---\n")}, "many")
	evil.Becomes("Failed", evil.commit, "exceeded quota: berth-namespace.")
	quotas := posts.client().Resource(schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}).Namespace("bounds-evil")
	list, err := quotas.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("got %d quotas, want 1: %v", len(list.Items), err)
	}
	name := list.Items[0].GetName()
	if _, err := quotas.Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"hard":{"count/configmaps":"100"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	world.Await(t, "the quota is put back", func() (string, bool) {
		quota, err := quotas.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error(), false
		}
		hard, _, _ := unstructured.NestedStringMap(quota.Object, "spec", "hard")
		return fmt.Sprint(hard), hard["count/configmaps"] == "3"
	})
	posts.felt()
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"
}

// deployerOf returns what docs/security.md asks an administrator to prepare for an entry with the account deployer.
func deployerOf(namespace string) string {
	return strings.ReplaceAll(`apiVersion: v1
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
`, "NS", namespace)
}

// administrator applies manifests with all rights.
func administrator(t *testing.T, manifests string) {
	t.Helper()
	var objects []*unstructured.Unstructured
	for _, text := range strings.Split(manifests, "---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	if err := clustertest.Apply(t.Context(), shared.Cluster.RESTConfig(), objects...); err != nil {
		t.Fatal(err)
	}
}

// as returns a client with the token of an account, as a pod gets it.
func as(t *testing.T, namespace, account string) dynamic.Interface {
	t.Helper()
	config, err := shared.Cluster.ConfigFor(t.Context(), namespace, account)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// creates creates an object. The plural of its kind must be regular.
func creates(t *testing.T, client dynamic.Interface, manifest string) error {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &object.Object); err != nil {
		t.Fatal(err)
	}
	gvk := object.GroupVersionKind()
	resource := gvk.GroupVersion().WithResource(strings.ToLower(gvk.Kind) + "s")
	_, err := client.Resource(resource).Namespace(object.GetNamespace()).Create(t.Context(), object, metav1.CreateOptions{})
	return err
}
