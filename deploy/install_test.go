package deploy_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

// The test checks one installation in one cluster: what the API server accepts, and what it then allows.
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
	awaitRight(t, right{"watch", "apps", "deployments", ""}, agentCan)

	t.Run("the agent may do what its work needs", func(t *testing.T) {
		testRights(t, agent, agentMay, true)
	})
	t.Run("the agent may do nothing else", func(t *testing.T) {
		testRights(t, agent, agentMayNot, false)
	})
	t.Run("an environment's account has its rights in its namespace only", func(t *testing.T) { testEnvironment(t, admin, agent) })
	t.Run("an environment grants only what it holds", func(t *testing.T) { testGranting(t, actingAs(t, config, theirs)) })
	t.Run("the agent leaves other namespaces and grants alone", func(t *testing.T) { testAgentPolicy(t, admin, agent) })
	t.Run("a branch cannot undo the bounds of its namespace", func(t *testing.T) { testBounds(t, agent, actingAs(t, config, "bounded")) })
	t.Run("only the agent says whose a namespace is", func(t *testing.T) { testNamespacePolicy(t, admin, agent, cluster) })
	t.Run("people get their part by the built-in roles", func(t *testing.T) { testPeople(t, admin) })
	t.Run("the component for Secrets lets the agent watch them all", func(t *testing.T) {
		apply(t, cluster, build(t, overlay(t, "components: [BASE/components/watch-secrets]\n")))
		awaitRight(t, right{"watch", "", "secrets", ""}, agentCan)
	})
	t.Run("the component for scope Cluster lets the agent watch, and write nothing", func(t *testing.T) {
		dir := overlay(t, "components: [BASE/components/cluster-scope]\n")
		apply(t, cluster, build(t, dir))
		awaitRight(t, right{"watch", "storage.k8s.io", "storageclasses", ""}, agentCan)
		testRights(t, agent, []right{
			{"create", "apiextensions.k8s.io", "customresourcedefinitions", ""},
			{"delete", "storage.k8s.io", "storageclasses", ""},
			{"create", "rbac.authorization.k8s.io", "clusterroles", ""},
		}, false)
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

// awaitRight waits until a right of an aggregated ClusterRole has reached the authorizer.
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
