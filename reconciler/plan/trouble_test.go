package plan_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// The trouble of an object names its place in Git once. It omits the object's name, which stands next to it.
func TestTroubleTellsThePlaceOnce(t *testing.T) {
	api := &manifest.Object{Unstructured: &unstructured.Unstructured{}, Origin: manifest.Origin{File: "api.yaml", Line: 3}}
	key := manifest.Key{Group: "apps", Kind: "Deployment", Namespace: "posts", Name: "api"}
	for _, test := range []struct {
		name    string
		failure string
		object  *manifest.Object
		trouble string
		alone   string // the text if no name stands next to it
	}{
		{"of the planner", "its kind is unknown", api, "api.yaml:3: its kind is unknown", "Deployment/api (api.yaml:3): its kind is unknown"},
		{"of the cluster", "api.yaml:3: Deployment/posts/api: .spec.x: field not declared", api, "api.yaml:3: .spec.x: field not declared",
			"api.yaml:3: Deployment/posts/api: .spec.x: field not declared"},
		{"that names the place within", "needs db (api.yaml:3)", api, "needs db (api.yaml:3)", "Deployment/api: needs db (api.yaml:3)"},
		{"an object that is not in Git", "cannot be deleted", nil, "cannot be deleted", "Deployment/api: cannot be deleted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := plan.Step{Key: key, Object: test.object, Failure: test.failure}
			if got := s.Trouble().Message; got != test.trouble {
				t.Errorf("beside the name: got %q, want %q", got, test.trouble)
			}
			if got := s.Describe(); got != test.alone {
				t.Errorf("alone: got %q, want %q", got, test.alone)
			}
		})
	}
}
