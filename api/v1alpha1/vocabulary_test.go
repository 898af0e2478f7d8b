package v1alpha1_test

import (
	"maps"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/clustertest"
)

var cluster = clustertest.Shared(clustertest.Config{APIServerOnly: true})

// connect returns a client of an API server that has the generated CRDs and refuses unknown fields.
func connect(t *testing.T) client.Client {
	t.Helper()
	config := cluster(t).RESTConfig()
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{"../../deploy/crds"}, ErrorIfPathMissing: true}); err != nil {
		t.Fatalf("installing deploy/crds: %v", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	return &unstructured.Unstructured{Object: values(t, text)}
}

// merged is the base with the fields of the change in place of its own.
func merged(t *testing.T, base, change string) map[string]any {
	t.Helper()
	out := values(t, base)
	maps.Copy(out, values(t, change))
	return out
}

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	document, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = json.Unmarshal(document, &out) // apimachinery's, for whole numbers stay whole
	}
	if err != nil {
		t.Fatalf("reading %q: %v", text, err)
	}
	return out
}

func set(t *testing.T, object *unstructured.Unstructured, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(object.Object, value, path...); err != nil {
		t.Fatal(err)
	}
}

// expect compares what the API server said with what it should have said.
func expect(t *testing.T, err error, refused string) {
	t.Helper()
	switch {
	case refused == "" && err != nil:
		t.Errorf("refused: %v", err)
	case refused != "" && err == nil:
		t.Errorf("accepted, want a refusal that says %q", refused)
	case refused != "" && !strings.Contains(err.Error(), refused):
		t.Errorf("refused with %q, want it to say %q", err, refused)
	}
}
