package deploy_test

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// The page gets one right for itself: to ask what others may do.
func TestThePageIsServedWithOneRightMore(t *testing.T) {
	var deployment appsv1.Deployment
	var service corev1.Service
	var role rbacv1.ClusterRole
	var binding rbacv1.ClusterRoleBinding
	for _, object := range build(t, overlay(t, "namespace: elsewhere\ncomponents: [BASE/components/page]\n")) {
		switch name := object.GetKind() + "/" + object.GetName(); name {
		case "Deployment/berth":
			decode(t, object, &deployment)
		case "Service/berth-page":
			decode(t, object, &service)
		case "ClusterRole/berth-page":
			decode(t, object, &role)
		case "ClusterRoleBinding/berth-page":
			decode(t, object, &binding)
		}
	}
	pod := deployment.Spec.Template.Spec
	if !slices.Contains(pod.Containers[0].Args, "--page-address=:8090") {
		t.Errorf("the agent is started with %q", pod.Containers[0].Args)
	}
	if !slices.ContainsFunc(pod.Containers[0].Ports, func(p corev1.ContainerPort) bool {
		return p.Name == service.Spec.Ports[0].TargetPort.StrVal && p.ContainerPort == 8090
	}) {
		t.Errorf("the Service leads to %v of %v", service.Spec.Ports, pod.Containers[0].Ports)
	}
	if len(role.Rules) != 1 || !slices.Equal(role.Rules[0].Resources, []string{"subjectaccessreviews"}) || !slices.Equal(role.Rules[0].Verbs, []string{"create"}) {
		t.Errorf("the page gets %v", role.Rules)
	}
	if len(binding.Subjects) != 1 || binding.Subjects[0].Name != pod.ServiceAccountName || binding.Subjects[0].Namespace != "elsewhere" {
		t.Errorf("the binding is for %+v", binding.Subjects)
	}
}
