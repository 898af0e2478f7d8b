package reconciler

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
)

func TestMask(t *testing.T) {
	of := func(apiVersion, kind, value string) manifest.Object {
		return manifest.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "name-of-it"}, "stringData": map[string]any{"key": value},
		}}}
	}
	d := desired{decrypted: manifest.Kinds{"Role", "Login", "Widget.example.com"}, set: manifest.Set{Objects: []manifest.Object{
		of("v1", "ConfigMap", "production"),
		of("v1", "Secret", "hunter2"),
		of("rbac.authorization.k8s.io/v1", "Role", "with-a-kind"),
		of("example.com/v1", "Login", "of-others-without-a-group"),
		of("example.com/v1", "Widget", "with-a-group"),
		of("example.org/v1", "Widget", "with-another-group"),
	}}}
	for text, want := range map[string]string{
		"hunter2 is for production":               "••• is for production",
		"name-of-it says with-a-kind":             "name-of-it says •••",
		"of-others-without-a-group":               "of-others-without-a-group", // rendering allows no decrypted value there
		"with-a-group, and with-another-group":    "•••, and with-another-group",
		"Authorization: Basic YWRhOmh1bnRlcjI=\n": "Authorization: Basic YWRh•••\n",
	} {
		if got := d.mask(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
