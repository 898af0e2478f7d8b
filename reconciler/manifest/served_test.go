package manifest_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
)

func TestServedIn(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, gvk := range []schema.GroupVersionKind{
		{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"}, {Group: "autoscaling", Version: "v1", Kind: "HorizontalPodAutoscaler"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}, {Version: "v1", Kind: "Service"},
	} {
		mapper.Add(gvk, meta.RESTScopeNamespace)
	}
	for kind, want := range map[string]string{
		"HorizontalPodAutoscaler": "autoscaling/v1 or autoscaling/v2", "Ingress": "networking.k8s.io/v1", "Service": "v1", "Widget": "", "service": "",
	} {
		if got := manifest.ServedIn(mapper, kind); got != want {
			t.Errorf("ServedIn %s: got %q, want %q", kind, got, want)
		}
	}
}
