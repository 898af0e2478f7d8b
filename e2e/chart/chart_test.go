// Package chart renders the Helm chart with Helm's own library, and installs it into a real control plane.
package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"berth.dev/berth/deploy"
)

// manifests is the folder of the base.
var manifests = filepath.Join("..", "..", "deploy")

func load(t *testing.T) *chart.Chart {
	t.Helper()
	loaded, err := loader.LoadDir(filepath.Join(manifests, "chart"))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// render renders the chart for a namespace with values in YAML, as `helm template` does, and returns the objects by
// "Kind/name".
func render(t *testing.T, namespace, values string) map[string]*unstructured.Unstructured {
	t.Helper()
	objects, err := tryRender(t, namespace, values)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func tryRender(t *testing.T, namespace, values string) (map[string]*unstructured.Unstructured, error) {
	t.Helper()
	given, err := common.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	loaded := load(t)
	all, err := util.ToRenderValues(loaded, given, common.ReleaseOptions{Name: "berth", Namespace: namespace, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return nil, err
	}
	objects := map[string]*unstructured.Unstructured{}
	for name, text := range files {
		if strings.HasSuffix(name, ".txt") {
			continue
		}
		for _, object := range decode(t, name, text) {
			objects[object.GetKind()+"/"+object.GetName()] = object
		}
	}
	return objects, nil
}

func decode(t *testing.T, name, text string) (objects []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

func base(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	all, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]*unstructured.Unstructured{}
	for _, object := range all {
		objects[object.GetKind()+"/"+object.GetName()] = object
	}
	return objects
}

func contents(objects map[string]*unstructured.Unstructured) map[string]any {
	plain := map[string]any{}
	for name, object := range objects {
		plain[name] = object.Object
	}
	return plain
}

// Helm and Kustomize install the same.
func TestTheChartIsTheKustomizeBase(t *testing.T) {
	want := contents(base(t))
	if diff := cmp.Diff(want, contents(render(t, deploy.Namespace, "namespace: {create: true}"))); diff != "" {
		t.Errorf("with the Namespace, the chart differs from the base (-base +chart):\n%s", diff)
	}
	delete(want, "Namespace/"+deploy.Namespace)
	if diff := cmp.Diff(want, contents(render(t, deploy.Namespace, ""))); diff != "" {
		t.Errorf("with its defaults, the chart differs from the base without its Namespace (-base +chart):\n%s", diff)
	}
}

// components are the values that do what the components of the base do.
var components = map[string]string{
	"cluster-scope":         "clusterScope: {create: true}",
	"metrics-authorization": "metricsAuthorization: {enabled: true}",
	"page":                  "page: {enabled: true}",
	"monitoring":            "{prometheusRule: {create: true}, dashboard: {create: true}}",
	"watch-secrets":         "watchSecrets: cluster",
	"webhook-ingress":       "webhookIngress: {create: true, host: berth.example.com}",
}

func TestTheChartHasTheComponents(t *testing.T) {
	folders, err := os.ReadDir(filepath.Join(manifests, "components"))
	if err != nil || len(folders) == 0 {
		t.Fatal(len(folders), err)
	}
	for _, folder := range folders {
		values, ok := components[folder.Name()]
		if !ok {
			t.Errorf("no values of the chart do what components/%s does", folder.Name())
			continue
		}
		want := contents(withComponent(t, folder.Name()))
		delete(want, "Namespace/"+deploy.Namespace)
		if diff := cmp.Diff(want, contents(render(t, deploy.Namespace, values))); diff != "" {
			t.Errorf("with %s, the chart differs from the base with components/%s (-base +chart):\n%s", values, folder.Name(), diff)
		}
	}
}

// withComponent returns what Kustomize builds from the base with a component.
func withComponent(t *testing.T, component string) map[string]*unstructured.Unstructured {
	t.Helper()
	folder, err := filepath.Abs(manifests)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	base, err := filepath.Rel(dir, folder)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("resources: [%s]\ncomponents: [%[1]s/components/%s]\n", base, component)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]*unstructured.Unstructured{}
	for _, resource := range built.Resources() {
		text, err := resource.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range decode(t, component, string(text)) {
			objects[object.GetKind()+"/"+object.GetName()] = object
		}
	}
	return objects
}

// The namespace of the release takes the place of berth everywhere, and installations in two namespaces do not overwrite
// each other's bindings.
func TestAReleaseCanLiveInAnotherNamespace(t *testing.T) {
	here, there := render(t, deploy.Namespace, ""), render(t, "elsewhere", "namespace: {create: true}\nmetricsAuthorization: {enabled: true}\nclusterScope: {create: true}\nwebhookIngress: {create: true, host: a.example}\nserviceMonitor: {create: true}\nnetworkPolicy: {create: true}\npodDisruptionBudget: {create: true}")
	for name, object := range there {
		if ns := object.GetNamespace(); ns != "" && ns != "elsewhere" {
			t.Errorf("%s is in the namespace %s", name, ns)
		}
		subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects")
		for _, subject := range subjects {
			if ns := subject.(map[string]any)["namespace"]; ns != "elsewhere" {
				t.Errorf("%s grants to an account of %s", name, ns)
			}
		}
		if object.GetKind() == "ClusterRoleBinding" && here[name] != nil {
			t.Errorf("%s is the one of the installation in %s", name, deploy.Namespace)
		}
	}
	second := render(t, "elsewhere", "crds: {create: false}\nshared: {create: false}")
	for name, object := range second {
		if object.GetNamespace() == "" && here[name] != nil {
			t.Errorf("a second installation writes %s of the first", name)
		}
	}
}
