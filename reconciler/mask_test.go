package reconciler

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
)

func TestMask(t *testing.T) {
	of := func(kind string, fields map[string]any) manifest.Object {
		object := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "x"}}
		for name, value := range fields {
			object[name] = value
		}
		return manifest.Object{Unstructured: &unstructured.Unstructured{Object: object}}
	}
	d := desired{set: manifest.Set{Objects: []manifest.Object{
		of("ConfigMap", map[string]any{"data": map[string]any{"mode": "production"}}),
		of("Secret", map[string]any{"data": map[string]any{"password": "aHVudGVyMg==", "short": "MQ==", "key": "QkVHSU4KTElORU9ORQpMSU5FVFdPCkVORA=="}}),
		of("Secret", map[string]any{"stringData": map[string]any{"longer": "hunter2-and-more"}}),
	}}}
	for text, want := range map[string]string{
		"cannot log in as ada with hunter2": "cannot log in as ada with •••",
		"with hunter2-and-more":             "with •••",
		"decoding aHVudGVyMg== failed":      "decoding ••• failed",
		"read LINEONE\nread LINETWO":        "read •••\nread •••",
		"1 error in production":             "1 error in production",
		"":                                  "",
	} {
		if got := d.mask(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
