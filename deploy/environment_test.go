package deploy_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"berth.dev/berth/internal/clustertest"
)

const account = "berth-apply"

// binding returns the RoleBinding that the agent writes into the namespace of an environment.
func binding(namespace string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "berth-apply.a1b2c3.posts"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "berth-environment"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: namespace}},
	}
}

// actingAs returns the agent's client, which impersonates the account of an environment.
func actingAs(t *testing.T, agent *rest.Config, namespace string) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(agent)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":" + account}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// testEnvironment makes the agent bind the role of environments in the namespace theirs, and checks the rights of
// its account.
func testEnvironment(t *testing.T, admin, agent kubernetes.Interface) {
	if _, err := agent.RbacV1().RoleBindings(theirs).Create(t.Context(), binding(theirs), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	user := "system:serviceaccount:" + theirs + ":" + account
	may := func(right right) bool { return allowed(t, admin, user, right) }
	awaitRight(t, environmentMay[0], may)
	for _, right := range environmentMay {
		if !may(right) {
			t.Errorf("the account of an environment may not %s", right)
		}
	}
	for _, right := range environmentMayNot {
		if may(right) {
			t.Errorf("the account of an environment may %s", right)
		}
	}
}

// testGranting proves that a branch cannot extend its environment's rights by a Role of its own. This holds even
// without the agent's own check of the manifests.
func testGranting(t *testing.T, environment kubernetes.Interface) {
	for _, test := range []struct {
		name             string
		group            string
		resources, verbs []string
		wants            bool
	}{
		{"what it holds", "", []string{"configmaps"}, []string{"get", "patch"}, true},
		{"its namespace", "", []string{"namespaces"}, []string{"patch"}, false},
		{"quotas", "", []string{"resourcequotas"}, []string{"delete"}, false},
		{"impersonation of users", "", []string{"users"}, []string{"impersonate"}, false},
		{"binding", "rbac.authorization.k8s.io", []string{"roles"}, []string{"bind"}, false},
		{"everything", "*", []string{"*"}, []string{"*"}, false},
	} {
		rule := rbacv1.PolicyRule{APIGroups: []string{test.group}, Resources: test.resources, Verbs: test.verbs}
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Rules: []rbacv1.PolicyRule{rule}}
		_, err := environment.RbacV1().Roles(theirs).Create(t.Context(), role, metav1.CreateOptions{})
		if granted := err == nil; granted != test.wants || err != nil && !errors.IsForbidden(err) {
			t.Errorf("a Role with %s: granted %t, want %t (%v)", test.name, granted, test.wants, err)
		}
	}
	for _, role := range []string{"cluster-admin", "berth-agent"} {
		b := binding(theirs)
		b.Name, b.RoleRef.Name, b.Subjects[0].Name = "test-"+role, role, "default"
		if _, err := environment.RbacV1().RoleBindings(theirs).Create(t.Context(), b, metav1.CreateOptions{}); !errors.IsForbidden(err) {
			t.Errorf("binding %s: got %v, want forbidden", role, err)
		}
	}
	made := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}
	awaitPolicy(t, "is reserved", func(ctx context.Context) error {
		_, err := environment.CoreV1().ServiceAccounts(theirs).Create(ctx, made, dryRun)
		return err
	})
	_, err := environment.CoreV1().ServiceAccounts(theirs).Create(t.Context(), made, metav1.CreateOptions{})
	denied(t, "an account of the environments' name", err, "is reserved")
}

// testAgentPolicy uses the agent's own account to try what only its RBAC rights would allow.
func testAgentPolicy(t *testing.T, admin, agent kubernetes.Interface) {
	ctx := t.Context()
	foreign := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}}
	if _, err := admin.CoreV1().Namespaces().Create(ctx, foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	namespaces := agent.CoreV1().Namespaces()
	unmarked := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "unmarked"}}
	awaitPolicy(t, "creates only namespaces", func(ctx context.Context) error {
		_, err := namespaces.Create(ctx, unmarked, dryRun)
		return err
	})
	denied(t, "deleting a namespace of others", namespaces.Delete(ctx, "foreign", metav1.DeleteOptions{}), "changes and deletes only namespaces")
	_, err := namespaces.Patch(ctx, "foreign", types.MergePatchType, []byte(`{"metadata":{"labels":{"berth.dev/environment":"a.b"}}}`), metav1.PatchOptions{})
	denied(t, "marking a namespace of others", err, "changes and deletes only namespaces")
	_, err = namespaces.Create(ctx, unmarked, metav1.CreateOptions{})
	denied(t, "creating a namespace without a mark", err, "creates only namespaces")
	for name, change := range map[string]func(*rbacv1.RoleBinding){
		"another name":            func(b *rbacv1.RoleBinding) { b.Name = "other" },
		"another account":         func(b *rbacv1.RoleBinding) { b.Subjects[0].Name = "default" },
		"an account of elsewhere": func(b *rbacv1.RoleBinding) { b.Subjects[0].Namespace = "foreign" },
		"a user": func(b *rbacv1.RoleBinding) {
			b.Subjects[0] = rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: account}
		},
		"a second account": func(b *rbacv1.RoleBinding) {
			b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: "ServiceAccount", Name: "default", Namespace: theirs})
		},
		"a Role of the same name":      func(b *rbacv1.RoleBinding) { b.RoleRef.Kind = "Role" },
		"in the namespace kube-system": func(b *rbacv1.RoleBinding) { b.Namespace, b.Subjects[0].Namespace = "kube-system", "kube-system" },
		"in the agent's own namespace": func(b *rbacv1.RoleBinding) { b.Namespace, b.Subjects[0].Namespace = ours, ours },
	} {
		b := binding(theirs)
		b.Namespace, b.Name = theirs, "berth-apply.other"
		change(b)
		_, err := agent.RbacV1().RoleBindings(b.Namespace).Create(ctx, b, metav1.CreateOptions{})
		if err == nil {
			t.Errorf("a binding of %s was not refused", name)
		}
	}
}

// testBounds writes the bounds of a namespace as the agent, and tries to change them as the environment.
func testBounds(t *testing.T, agent, environment kubernetes.Interface) {
	ctx := t.Context()
	quota := func(name string) *corev1.ResourceQuota {
		return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}}}
	}
	policy := func(name string) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	awaitPolicy(t, "begins with berth-namespace.", func(ctx context.Context) error {
		_, err := agent.CoreV1().ResourceQuotas(theirs).Create(ctx, quota("mine"), dryRun)
		return err
	})
	_, err := agent.CoreV1().ResourceQuotas(theirs).Create(ctx, quota("mine"), metav1.CreateOptions{})
	denied(t, "a quota of another name", err, "begins with berth-namespace.")
	_, err = agent.CoreV1().ResourceQuotas("kube-system").Create(ctx, quota("berth-namespace.a.b"), metav1.CreateOptions{})
	denied(t, "a quota in kube-system", err, "no environment can live")
	bounded := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "bounded", Labels: map[string]string{"berth.dev/environment": "a1b2c3.bounded"}, Annotations: map[string]string{"berth.dev/bounds": "networkpolicies"},
	}}
	if _, err := agent.CoreV1().Namespaces().Create(ctx, bounded, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.RbacV1().RoleBindings("bounded").Create(ctx, binding("bounded"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	policies := agent.NetworkingV1().NetworkPolicies("bounded")
	if _, err := policies.Create(ctx, policy("berth-namespace.a1b2c3.bounded.own"), metav1.CreateOptions{}); err != nil {
		t.Errorf("the agent cannot write the network policies of a namespace: %v", err)
	}
	theirPolicies := environment.NetworkingV1().NetworkPolicies("bounded")
	eventually(t, "the environment of bounded has no rights", func(ctx context.Context) (bool, error) {
		_, err := theirPolicies.List(ctx, metav1.ListOptions{})
		return err == nil, nil
	})
	_, err = theirPolicies.Create(ctx, policy("open"), metav1.CreateOptions{})
	denied(t, "another network policy", err, "are those of namespaceTemplate")
	denied(t, "deleting the network policy", theirPolicies.Delete(ctx, "berth-namespace.a1b2c3.bounded.own", metav1.DeleteOptions{}), "are those of namespaceTemplate")
	if err := agent.CoreV1().Namespaces().Delete(ctx, "bounded", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace does not go, because of its network policies", func(ctx context.Context) (bool, error) {
		_, err := agent.CoreV1().Namespaces().Get(ctx, "bounded", metav1.GetOptions{})
		return errors.IsNotFound(err), nil
	})
}

// testNamespacePolicy tries to change the protected labels and annotations of an environment's namespace.
func testNamespacePolicy(t *testing.T, admin, agent kubernetes.Interface, cluster *clustertest.Cluster) {
	ctx := t.Context()
	marked := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "posts-feature", Labels: map[string]string{"berth.dev/environment": "a1b2c3.posts", "pod-security.kubernetes.io/enforce": "baseline"},
		Annotations: map[string]string{"berth.dev/branch": "feature"},
	}}
	eve := somebodyWith(t, admin, cluster, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces", "namespaces/status"}, Verbs: []string{"*"}})
	awaitPolicy(t, "only its agent creates such namespaces", func(ctx context.Context) error {
		_, err := eve.Create(ctx, marked, dryRun)
		return err
	})
	_, err := eve.Create(ctx, marked, metav1.CreateOptions{})
	denied(t, "creating a namespace with the agent's mark", err, "only its agent creates such namespaces")
	if _, err := agent.CoreV1().Namespaces().Create(ctx, marked, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	patch := func(name, metadata string, subresources ...string) error {
		_, err := eve.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":`+metadata+`}`), metav1.PatchOptions{}, subresources...)
		return err
	}
	for _, metadata := range []string{
		`{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}`,
		`{"labels":{"pod-security.kubernetes.io/enforce":null}}`,
		`{"labels":{"pod-security.kubernetes.io/warn":"privileged"}}`,
		`{"labels":{"berth.dev/environment":"a1b2c3.production"}}`,
		`{"labels":{"berth.dev/environment":null}}`,
		`{"annotations":{"berth.dev/branch":"main"}}`,
		`{"annotations":{"berth.dev/on-removal":"Delete"}}`,
		`{"annotations":null}`,
	} {
		denied(t, metadata, patch("posts-feature", metadata), "belongs to an environment of Berth")
		denied(t, metadata+" by the status", patch("posts-feature", metadata, "status"), "belongs to an environment of Berth")
	}
	denied(t, "taking a namespace of others", patch("foreign", `{"labels":{"berth.dev/environment":"a1b2c3.posts"}}`), "belongs to an environment of Berth")
	for name, metadata := range map[string]string{
		"posts-feature": `{"labels":{"team":"posts"},"annotations":{"example.com/owner":"posts"}}`,
		"foreign":       `{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}`,
	} {
		if err := patch(name, metadata); err != nil {
			t.Errorf("the tools of others cannot write %s to %s: %v", metadata, name, err)
		}
	}
	if _, err := admin.CoreV1().Namespaces().Patch(ctx, "posts-feature", types.MergePatchType, []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`), metav1.PatchOptions{}); err != nil {
		t.Errorf("an administrator of the cluster cannot repair a namespace: %v", err)
	}
	if err := agent.CoreV1().Namespaces().Delete(ctx, "posts-feature", metav1.DeleteOptions{}); err != nil {
		t.Errorf("the agent cannot delete a namespace of an environment: %v", err)
	}
	eventually(t, "the namespace did not go", func(ctx context.Context) (bool, error) {
		_, err := admin.CoreV1().Namespaces().Get(ctx, "posts-feature", metav1.GetOptions{})
		return errors.IsNotFound(err), nil
	})
}

// somebodyWith returns a namespace client for a user with one right in the whole cluster.
func somebodyWith(t *testing.T, admin kubernetes.Interface, cluster *clustertest.Cluster, rule rbacv1.PolicyRule) namespaceClient {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "eve"}, Rules: []rbacv1.PolicyRule{rule}}
	if _, err := admin.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "eve"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "eve"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eve"}},
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitRight(t, right{"patch", "", "namespaces", ""}, func(r right) bool { return allowed(t, admin, "eve", r) })
	config := cluster.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{UserName: "eve"}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.CoreV1().Namespaces()
}

// namespaceClient has the methods of a namespace client that these tests use.
type namespaceClient interface {
	Create(context.Context, *corev1.Namespace, metav1.CreateOptions) (*corev1.Namespace, error)
	Patch(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (*corev1.Namespace, error)
}

var dryRun = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

// awaitPolicy waits until a policy denies a dry run with a text. A policy takes effect some seconds after it was created.
func awaitPolicy(t *testing.T, text string, attempt func(context.Context) error) {
	t.Helper()
	eventually(t, "no policy says "+text, func(ctx context.Context) (bool, error) {
		err := attempt(ctx)
		return errors.IsForbidden(err) && strings.Contains(err.Error(), text), nil
	})
}

// denied fails the test unless a policy denies a request with a text.
func denied(t *testing.T, what string, err error, text string) {
	t.Helper()
	if !errors.IsForbidden(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want it to be refused with %q", what, err, text)
	}
}
