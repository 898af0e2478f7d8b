package deploy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Nothing else checks that the Ingress names the Service and its port correctly.
func TestTheWebhookIngressLeadsToTheService(t *testing.T) {
	var ingress networkingv1.Ingress
	var service corev1.Service
	for _, object := range build(t, overlay(t, "namespace: elsewhere\ncomponents: [BASE/components/webhook-ingress]\n")) {
		switch object.GetKind() {
		case "Ingress":
			decode(t, object, &ingress)
		case "Service":
			decode(t, object, &service)
		}
	}
	if ingress.Namespace != service.Namespace || len(ingress.Spec.Rules) != 1 || len(ingress.Spec.Rules[0].HTTP.Paths) != 1 {
		t.Fatalf("the Ingress is in %q, the Service in %q; rules: %v", ingress.Namespace, service.Namespace, ingress.Spec.Rules)
	}
	path := ingress.Spec.Rules[0].HTTP.Paths[0]
	if path.Path != "/hooks/" || path.Backend.Service.Name != service.Name {
		t.Errorf("%s leads to the Service %q, want %q", path.Path, path.Backend.Service.Name, service.Name)
	}
	for _, port := range service.Spec.Ports {
		if port.Name == path.Backend.Service.Port.Name {
			return
		}
	}
	t.Errorf("the Service has no port %q", path.Backend.Service.Port.Name)
}

func decode(t *testing.T, object *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
		t.Fatal(err)
	}
}
