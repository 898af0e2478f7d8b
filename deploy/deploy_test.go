package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"berth.dev/berth/deploy"
)

// Users install with Kustomize, and tests and the demo with Objects. Both must give the same result.
func TestObjectsAreWhatKustomizeBuilds(t *testing.T) {
	byObjects := map[string]any{}
	for _, object := range objects(t) {
		byObjects[identity(object)] = object.Object
	}
	byKustomize := map[string]any{}
	for _, object := range build(t, ".") {
		byKustomize[identity(object)] = object.Object
	}
	if diff := cmp.Diff(byKustomize, byObjects); diff != "" {
		t.Errorf("Objects differs from what Kustomize builds (-Kustomize +Objects):\n%s", diff)
	}
}

// Installing into another namespace takes one setting.
func TestAnOverlayMovesEverythingToAnotherNamespace(t *testing.T) {
	for _, object := range build(t, overlay(t, "namespace: elsewhere\n")) {
		switch {
		case object.GetNamespace() == deploy.Namespace:
			t.Errorf("%s stayed in %q", identity(object), deploy.Namespace)
		case object.GetKind() == "Namespace" && object.GetName() != "elsewhere":
			t.Errorf("the namespace is still called %q", object.GetName())
		}
		subjects, _, err := unstructured.NestedSlice(object.Object, "subjects")
		if err != nil {
			t.Fatal(err)
		}
		for _, subject := range subjects {
			if namespace := subject.(map[string]any)["namespace"]; namespace != "elsewhere" {
				t.Errorf("%s still grants to an account of %q", identity(object), namespace)
			}
		}
	}
}

func objects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) == 0 {
		t.Fatal("there are no objects")
	}
	return objects
}

func TestTheKustomizationOfTheDocumentationNamesTheAgent(t *testing.T) {
	page, err := os.ReadFile("../docs/clusters.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n## The name with Kustomize\n")
	_, text, found := strings.Cut(text, "resources: [deploy]\n")
	text, _, _ = strings.Cut(text, "```")
	if !found {
		t.Fatal("the page has no kustomization")
	}
	for _, object := range build(t, overlay(t, text)) {
		if object.GetKind() != "Deployment" {
			continue
		}
		containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		if args := fmt.Sprint(containers[0].(map[string]any)["args"]); !strings.HasSuffix(args, " --agent-name=staging]") {
			t.Errorf("the arguments are %s", args)
		}
	}
}

// overlay writes a kustomization on top of the base, called BASE in the text, and returns its folder.
func overlay(t *testing.T, text string) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	base, err := filepath.Rel(dir, here)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll("resources: [BASE]\n"+text, "BASE", base)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func build(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, resource := range resources.Resources() {
		text, err := resource.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	return objects
}

func identity(object *unstructured.Unstructured) string {
	return object.GroupVersionKind().GroupKind().String() + " " + object.GetNamespace() + "/" + object.GetName()
}
