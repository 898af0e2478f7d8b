package deploy_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

// Everything about one installation, in one cluster: what the API server accepts, and what it then allows.
func TestInstall(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Config{})
	admin := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	apply(t, cluster, objects(t))

	t.Run("the Deployment rolls out in a namespace that enforces restricted", func(t *testing.T) {
		eventually(t, "the Deployment berth has no available replica", func(ctx context.Context) (bool, error) {
			deployment, err := admin.AppsV1().Deployments(deploy.Namespace).Get(ctx, "berth", metav1.GetOptions{})
			return err == nil && available(deployment), err
		})
	})
	config, err := cluster.ConfigFor(t.Context(), deploy.Namespace, deploy.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	agent := kubernetes.NewForConfigOrDie(config)
	agentCan := func(right right) bool { return may(t, agent, right) }
	awaitRight(t, deployAnything()[0], agentCan)

	t.Run("the agent may do what its work needs", func(t *testing.T) {
		testRights(t, agent, agentMay, true)
	})
	t.Run("the agent may do nothing else", func(t *testing.T) {
		testRights(t, agent, agentMayNot, false)
	})
	t.Run("the agent grants only what it holds", func(t *testing.T) { testGranting(t, agent, cluster.Namespace(t)) })
	t.Run("people get their part by the built-in roles", func(t *testing.T) { testPeople(t, admin) })
	t.Run("the component for scope Cluster adds definitions", func(t *testing.T) {
		dir := overlay(t, "components: [BASE/components/cluster-scope]\n")
		apply(t, cluster, build(t, dir))
		awaitRight(t, right{"create", "apiextensions.k8s.io", "customresourcedefinitions", ""}, agentCan)
		awaitRight(t, right{"delete", "storage.k8s.io", "storageclasses", ""}, agentCan)
	})
}

func apply(t *testing.T, cluster *clustertest.Cluster, objects []*unstructured.Unstructured) {
	t.Helper()
	if err := clustertest.Apply(t.Context(), cluster.RESTConfig(), objects...); err != nil {
		t.Fatal(err)
	}
}

func available(deployment *appsv1.Deployment) bool {
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentAvailable && condition.Status == corev1.ConditionTrue {
			return deployment.Status.AvailableReplicas > 0
		}
	}
	return false
}

// awaitRight waits until a right that an aggregated ClusterRole grants has reached the authorizer.
func awaitRight(t *testing.T, right right, granted func(right) bool) {
	t.Helper()
	eventually(t, "the right to "+right.String()+" was not granted", func(context.Context) (bool, error) {
		return granted(right), nil
	})
}

func eventually(t *testing.T, otherwise string, holds func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, holds); err != nil {
		t.Fatalf("%s: %v", otherwise, err)
	}
}

// testGranting proves that a branch cannot get by a Role of its own what the agent does not have.
func testGranting(t *testing.T, agent kubernetes.Interface, namespace string) {
	for _, test := range []struct {
		name  string
		rule  rbacv1.PolicyRule
		wants bool
	}{
		{"what the agent holds",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "patch"}}, true},
		{"a verb it does not hold",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"deletecollection"}}, false},
		{"a kind it does not hold",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"create"}}, false},
		{"everything",
			rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}, false},
	} {
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Rules: []rbacv1.PolicyRule{test.rule}}
		_, err := agent.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{})
		if granted := err == nil; granted != test.wants || (err != nil && !errors.IsForbidden(err)) {
			t.Errorf("a Role with %s: granted %t, want %t (%v)", test.name, granted, test.wants, err)
		}
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "default", Namespace: namespace}},
	}
	_, err := agent.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{})
	if !errors.IsForbidden(err) {
		t.Errorf("binding cluster-admin: got %v, want forbidden", err)
	}
}
