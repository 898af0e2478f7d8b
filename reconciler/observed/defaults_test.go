package observed_test

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/observed"
)

// The API server fills in fields that follow from others, and keeps them when the others change.
func TestDefaults(t *testing.T) {
	live := func(change ...edit) *unstructured.Unstructured {
		container := func(name, pull string) map[string]any {
			return map[string]any{"name": name, "image": "app:1", "imagePullPolicy": pull, "ports": []any{map[string]any{"containerPort": int64(80)}}}
		}
		return deployment("api", append([]edit{
			field("RollingUpdate", "spec", "strategy", "type"),
			field(int64(1), "spec", "replicas"),
			field("10.0.0.1", "spec", "clusterIP"),
			field("a", "spec", "selector", "app"),
			field([]any{container("api", "Always"), container("side", "Never")}, "spec", "containers"),
			field([]any{"x"}, "spec", "args"),
		}, change...)...)
	}
	owned := set(t, `{"f:spec":{"f:args":{},"f:selector":{"f:app":{}},"f:containers":{"k:{\"name\":\"api\"}":{"f:image":{}},"k:{\"name\":\"side\"}":{}}}}`)
	d := observed.DefaultsOf(live(), owned)
	if d.None() {
		t.Fatal("it has none")
	}
	bare := live(func(u *unstructured.Unstructured) {
		spec := u.Object["spec"].(map[string]any)
		delete(spec, "strategy")
		api := spec["containers"].([]any)[0].(map[string]any)
		delete(api, "imagePullPolicy")
		delete(api, "ports")
	})
	text := func(u *unstructured.Unstructured) string {
		raw, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if got := text(d.Without()); got != text(bare) {
		t.Errorf("without them it is\n%s, want\n%s", got, text(bare))
	}
	policy := func(value string) edit {
		return func(u *unstructured.Unstructured) {
			u.Object["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["imagePullPolicy"] = value
		}
	}
	pull, ports := `spec.containers[name="api"].imagePullPolicy`, `spec.containers[name="api"].ports`
	for _, test := range []struct {
		name  string
		fresh *unstructured.Unstructured
		want  []string
	}{
		{"nothing differs", live(), nil},
		{"a field", live(field("Recreate", "spec", "strategy", "type")), []string{"spec.strategy"}},
		{"a field of a list item", live(policy("Never")), []string{pull}},
		{"what is no default may differ", live(field(int64(9), "spec", "replicas"), field("10.0.0.2", "spec", "clusterIP")), nil},
		{"the item is gone", live(field([]any{"api", map[string]any{"name": "side", "imagePullPolicy": "Always"}}, "spec", "containers")), []string{pull, ports}},
		{"the list is gone", live(field("api", "spec", "containers")), []string{pull, ports}},
		{"the list is no list", live(field(map[string]any{"api": "x"}, "spec", "containers")), []string{pull, ports}},
		{"the items have another order", live(func(u *unstructured.Unstructured) {
			slices.Reverse(u.Object["spec"].(map[string]any)["containers"].([]any))
		}), nil},
		{"a struct is a list", &unstructured.Unstructured{Object: map[string]any{"spec": []any{map[string]any{"strategy": "x"}}}}, []string{pull, ports, "spec.strategy"}},
		{"everything is gone", &unstructured.Unstructured{Object: map[string]any{}}, []string{pull, ports, "spec.strategy"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := paths(d.Stale(test.fresh)); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if all := observed.DefaultsOf(deployment("api"), set(t, `{"f:apiVersion":{},"f:kind":{},"f:metadata":{}}`)); !all.None() {
		t.Errorf("an object without a spec has defaults: %+v", all)
	}
}

func TestWhichKindsHaveDefaults(t *testing.T) {
	for _, object := range []*unstructured.Unstructured{deployment("api"), object("v1", "Service", "api"), object("example.com/v1", "ConfigMap", "api")} {
		if !observed.HasDefaults(object.GroupVersionKind().GroupKind()) {
			t.Errorf("%s has none", object.GroupVersionKind())
		}
	}
	for _, object := range []*unstructured.Unstructured{configMap("env"), object("v1", "Secret", "env"), object("v1", "ServiceAccount", "api"), object("rbac.authorization.k8s.io/v1", "Role", "api")} {
		if observed.HasDefaults(object.GroupVersionKind().GroupKind()) {
			t.Errorf("%s has some", object.GroupVersionKind())
		}
	}
}

func TestOwnedAndUnowned(t *testing.T) {
	entries := []metav1.ManagedFieldsEntry{entry("berth", `{"f:spec":{"f:replicas":{}}}`), entry("operator", `{"f:spec":{"f:strategy":{}}}`)}
	if got, want := paths(observed.Owned(entries)), []string{"spec.replicas", "spec.strategy"}; !slices.Equal(got, want) {
		t.Errorf("owned are %q, want %q", got, want)
	}
	fields := set(t, `{"f:spec":{"f:replicas":{},"f:strategy":{"f:type":{}},"f:paused":{}}}`)
	if got, want := paths(observed.Unowned(fields, entries)), []string{"spec.paused", "spec.replicas"}; !slices.Equal(got, want) {
		t.Errorf("beside others, unowned are %q, want %q", got, want)
	}
}
