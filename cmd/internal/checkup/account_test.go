package checkup_test

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

// A kubeconfig of an administrator has all rights, and the cluster may lack everything else that environments need.
func TestAnAccountInAClusterWithoutTheObjectsOfBerth(t *testing.T) {
	plane := shared(t)
	namespace := plane.Namespace(t)
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	account := &checkup.Account{
		Kubernetes: clientOf(t, plane.RESTConfig()), About: "cluster staging", Hint: "create what the agent needs there",
		As: func(user string) (kubernetes.Interface, error) {
			config := rest.CopyConfig(plane.RESTConfig())
			config.Impersonate.UserName = user
			return kubernetes.NewForConfig(config)
		},
	}
	env := v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "posts.review.one"},
		Spec: v1alpha1.EnvironmentSpec{Namespace: namespace, Cluster: "staging"}, Status: v1alpha1.EnvironmentStatus{AppliedCommit: "abc"}}
	finds := func(want ...string) {
		t.Helper()
		say(t, account.Check(t.Context(), objects, []v1alpha1.Environment{env}), "rights policies accounts", want...)
	}
	const (
		rights   = "ok rights: the agent's account may do all that it needs"
		policies = "problem policies: ValidatingAdmissionPolicy/berth-namespaces is not installed; create what the agent needs there"
		lacks    = " may not patch configmaps; patch secrets; patch services; patch deployments.apps; create what the agent needs there"
	)
	lacking := "problem accounts: posts.review.one: system:serviceaccount:" + namespace + ":berth-apply" + lacks
	finds(rights, policies, "problem accounts: ClusterRole/berth-environment does not exist, so nothing from Git can be applied; create what the agent needs there", lacking)
	var role []*unstructured.Unstructured
	for _, object := range objects {
		if object.GetKind() == "ClusterRole" && object.GetName() == "berth-environment" {
			role = append(role, object)
		}
	}
	if err := clustertest.Apply(t.Context(), plane.RESTConfig(), role...); err != nil {
		t.Fatal(err)
	}
	finds(rights, policies, lacking) // no controller fills the role here
	bindAdmin(t, namespace, rbacv1.Subject{Kind: "ServiceAccount", Name: "berth-apply", Namespace: namespace})
	finds(rights, policies, "ok accounts: the environments' accounts may write what the environments run: 1 checked")
}
