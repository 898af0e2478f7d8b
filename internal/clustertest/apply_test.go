package clustertest_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/internal/clustertest"
)

func TestApply(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Config{APIServerOnly: true})
	for _, test := range []struct {
		name    string
		objects []*unstructured.Unstructured
		want    string // part of the error
	}{
		{name: "an object right after its definition", objects: []*unstructured.Unstructured{definition(), widget("default")}},
		{name: "the same again", objects: []*unstructured.Unstructured{definition(), widget("default")}},
		{name: "a namespace that is not there", objects: []*unstructured.Unstructured{widget("nowhere")},
			want: `cannot apply Widget nowhere/one: namespaces "nowhere" not found`},
		{name: "a field that is not there", objects: []*unstructured.Unstructured{misspelt()}, want: "field not declared in schema"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := clustertest.Apply(t.Context(), cluster.RESTConfig(), test.objects...)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func widget(namespace string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "one", "namespace": namespace},
	}}
}

func misspelt() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": "one", "namespace": "default"},
		"spec":     map[string]any{"port": int64(80)},
	}}
}

func definition() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets.example.com"},
		"spec": map[string]any{
			"group": "example.com", "scope": "Namespaced",
			"names": map[string]any{"kind": "Widget", "plural": "widgets"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
			}},
		},
	}}
}
