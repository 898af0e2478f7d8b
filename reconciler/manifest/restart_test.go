package manifest

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const restarting = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: posts, annotations: {berth.dev/restart-on-change: "true"}}
spec:
  template:
    spec:
      initContainers: [{name: wait, envFrom: [{configMapRef: {name: init}}]}]
      containers:
      - name: api
        env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: login, key: password}}}]
        envFrom: [{secretRef: {name: tokens}}]
      volumes:
      - {name: a, configMap: {name: files}}
      - {name: b, secret: {secretName: certificate}}
      - {name: c, projected: {sources: [{secret: {name: part}}, {configMap: {name: parts}}]}}
`

// restart returns what the pods of a workload are restarted for, given some other objects.
func restart(t *testing.T, workload string, others ...*unstructured.Unstructured) string {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(workload), &o.Object); err != nil {
		t.Fatal(err)
	}
	set := Set{Objects: []Object{{Unstructured: o}}}
	for _, other := range others {
		set.Objects = append(set.Objects, Object{Unstructured: other})
	}
	before := set.Objects[0].Digest
	if err := set.Seal([]byte("key"), nil); err != nil {
		t.Fatal(err)
	}
	first := set.Objects[0].Digest
	if err := set.Seal([]byte("key"), nil); err != nil || set.Objects[0].Digest != first || first == before {
		t.Errorf("sealed twice, the digest is %q and then %q (%v)", first, set.Objects[0].Digest, err)
	}
	value, _, _ := unstructured.NestedString(o.Object, "spec", "template", "metadata", "annotations", AnnotationRestartedFor)
	return value
}

func holding(kind, name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": "posts"},
		"data": map[string]any{"value": value},
	}}
}

func TestRestartOnChange(t *testing.T) {
	for _, named := range []struct{ kind, name string }{
		{"ConfigMap", "init"}, {"Secret", "login"}, {"Secret", "tokens"}, {"ConfigMap", "files"},
		{"Secret", "certificate"}, {"Secret", "part"}, {"ConfigMap", "parts"},
	} {
		one := restart(t, restarting, holding(named.kind, named.name, "1"))
		two := restart(t, restarting, holding(named.kind, named.name, "2"))
		if one == "" || one == two {
			t.Errorf("%s %s: with one content %q, with another %q", named.kind, named.name, one, two)
		}
	}
	order := restart(t, restarting, holding("ConfigMap", "init", "1"), holding("Secret", "login", "1"))
	if other := restart(t, restarting, holding("Secret", "login", "1"), holding("ConfigMap", "init", "1")); other != order {
		t.Error("the order of the objects matters")
	}
}

func TestNoRestart(t *testing.T) {
	elsewhere := holding("ConfigMap", "init", "1")
	elsewhere.SetNamespace("other")
	silent := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(restarting), &silent.Object); err != nil {
		t.Fatal(err)
	}
	silent.SetAnnotations(nil)
	text, err := yaml.Marshal(silent.Object)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, workload string
		other          *unstructured.Unstructured
	}{
		{"it does not ask for it", string(text), holding("ConfigMap", "init", "1")},
		{"it does not name it", restarting, holding("ConfigMap", "unrelated", "1")},
		{"it is another kind", restarting, holding("Secret", "init", "1")},
		{"it is in another namespace", restarting, elsewhere},
	}
	for _, test := range tests {
		if got := restart(t, test.workload, test.other); got != "" {
			t.Errorf("%s: it is restarted for %q", test.name, got)
		}
	}
}
