package deploy_test

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestMetricsCanBeAuthorized(t *testing.T) {
	var deployment appsv1.Deployment
	var binding rbacv1.ClusterRoleBinding
	for _, object := range build(t, overlay(t, "namespace: elsewhere\ncomponents: [BASE/components/metrics-authorization]\n")) {
		switch {
		case object.GetKind() == "Deployment":
			decode(t, object, &deployment)
		case object.GetName() == "berth-metrics-authorization":
			decode(t, object, &binding)
		}
	}
	pod := deployment.Spec.Template.Spec
	if !slices.Contains(pod.Containers[0].Args, "--metrics-authorization") {
		t.Errorf("the agent is started with %q", pod.Containers[0].Args)
	}
	if len(binding.Subjects) != 1 || binding.Subjects[0].Name != pod.ServiceAccountName || binding.Subjects[0].Namespace != "elsewhere" {
		t.Errorf("the binding is for %+v", binding.Subjects)
	}
}
