package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/deploy"
)

func TestObjectsOfTheDefaultNamespaceAreThoseOfDeploy(t *testing.T) {
	want, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Objects(Options{Namespace: deploy.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, func(a, b *unstructured.Unstructured) bool { return actionOf(a, b) == Unchanged }) {
		t.Error("an installation without options differs from deploy")
	}
}

func TestOptions(t *testing.T) {
	objects, err := Objects(Options{Namespace: "elsewhere", Image: "registry.example.com/berth:9", PullSecrets: []string{"pull"}, Replicas: new(int64(0)), AgentName: new("east")})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if ns := object.GetNamespace(); ns != "" && ns != "elsewhere" {
			t.Errorf("%s is not in elsewhere", Name(object))
		}
		switch object.GetKind() {
		case "Namespace":
			if object.GetName() != "elsewhere" {
				t.Errorf("the namespace is %s", object.GetName())
			}
		case "ClusterRoleBinding":
			if name := object.GetName(); name != "berth-agent-elsewhere" && name != "berth-agent-watch-elsewhere" {
				t.Errorf("%s would be that of another installation", Name(object))
			}
			subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects")
			if ns := subjects[0].(map[string]any)["namespace"]; ns != "elsewhere" {
				t.Errorf("%s grants to an account of %s", Name(object), ns)
			}
		case "Deployment":
			pod, _, _ := unstructured.NestedMap(object.Object, "spec", "template", "spec")
			image := pod["containers"].([]any)[0].(map[string]any)["image"]
			args := pod["containers"].([]any)[0].(map[string]any)["args"].([]any)
			if last := args[len(args)-1]; last != "--agent-name=east" {
				t.Errorf("the last argument is %v", last)
			}
			secret := pod["imagePullSecrets"].([]any)[0].(map[string]any)["name"]
			replicas, _, _ := unstructured.NestedInt64(object.Object, "spec", "replicas")
			if image != "registry.example.com/berth:9" || secret != "pull" || replicas != 0 {
				t.Errorf("the Deployment has %v, %v, %d replicas", image, secret, replicas)
			}
		}
	}
}

// An upgrade keeps what its flags do not set.
func TestOptionsOfAnUpgrade(t *testing.T) {
	installed := Options{Image: "berth:1", PullSecrets: []string{"pull"}, Replicas: new(int64(2)), AgentName: new("east")}
	if got := (Options{}).Or(installed); got.Image != "berth:1" || *got.AgentName != "east" || !slices.Equal(got.PullSecrets, installed.PullSecrets) || *got.Replicas != 2 {
		t.Errorf("without flags: %+v", got)
	}
	got := Options{Image: "berth:2", PullSecrets: []string{""}, Replicas: new(int64(0)), AgentName: new("")}.Or(installed)
	if got.Image != "berth:2" || *got.AgentName != "" || !slices.Equal(got.PullSecrets, []string{""}) || *got.Replicas != 0 {
		t.Errorf("with flags: %+v", got)
	}
	objects, err := Objects(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if _, found, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "imagePullSecrets"); found {
			t.Error("an empty name became a pull Secret")
		}
		if object.GetKind() == "Deployment" && strings.Contains(fmt.Sprint(object.Object), "--agent-name") {
			t.Error("an empty name became an argument")
		}
	}
}

// The API server would drop the values of fields that an older definition does not have.
func TestFieldsThatADowngradeLoses(t *testing.T) {
	definition := func(fields string) *unstructured.Unstructured {
		spec := map[string]any{"url": map[string]any{"type": "string"}, "environments": map[string]any{"items": map[string]any{"properties": map[string]any{fields: map[string]any{}}}}}
		schema := map[string]any{"properties": map[string]any{"spec": map[string]any{"properties": spec}}}
		version := map[string]any{"name": "v1alpha1", "schema": map[string]any{"openAPIV3Schema": schema}}
		return &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"versions": []any{version}}}}
	}
	if lost := missingIn(definition("windows"), definition("name")); !slices.Equal(lost, []string{".spec.environments[].windows"}) {
		t.Errorf("lost: %q", lost)
	}
	if lost := missingIn(definition("name"), definition("name")); len(lost) > 0 {
		t.Errorf("lost: %q", lost)
	}
}

// A timeout is reported as such, even if it interrupts a request.
func TestPollReturnsTheCauseOfItsEnd(t *testing.T) {
	waited := errors.New("waited 5s")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		cancel(waited)
		return false, ctx.Err()
	})
	if !errors.Is(err, waited) {
		t.Errorf("got %v, want %v", err, waited)
	}
}
