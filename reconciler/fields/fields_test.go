package fields_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/reconciler/fields"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	if text == "" {
		return nil
	}
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestCompare(t *testing.T) {
	const api = "kind: Deployment\nspec: {containers: [{name: api, image: 'a:1'}, {name: log, image: 'l:1'}]}\n"
	for _, test := range []struct {
		name, before, after string
		want                string
		wanted              string // the result of Wanted, if it differs
	}{
		{"the same", api, api, "", ""},
		{"a value", "a: {b: 1}", "a: {b: 2}", "~ a.b: 1 -> 2", ""},
		{"texts that need quotes", "a: 'x'\nb: ''\nc: ok", "a: '1'\nb: two words\nc: ok", `~ a: x -> "1"; ~ b: "" -> "two words"`, ""},
		{"more and less", "a: 1\nb: {c: 2}", "b: {d: 3}", "- a: 1; - b.c: 2; + b.d: 3", "+ b.d: 3"},
		{"an item by its name", api, "kind: Deployment\nspec: {containers: [{name: new, image: 'n:1'}, {name: api, image: 'a:2'}, {name: log, image: 'l:1'}]}",
			"~ spec.containers[api].image: a:1 -> a:2; + spec.containers[new].image: n:1; + spec.containers[new].name: new", ""},
		{"lists without names", "a: [x, z]", "a: [x]", `~ a: ["x","z"] -> ["x"]`, ""},
		{"names that stand there twice", "a: [{name: x, b: 1}, {name: x, b: 2}]", "a: []", `~ a: [{"b":1,"name":"x"},{"b":2,"name":"x"}] -> []`, ""},
		{"items without names, by their places", "a: [{p: 80, q: x}, {p: 81}]", "a: [{p: 80}, {p: 82}]", "- a[0].q: x; ~ a[1].p: 81 -> 82", "~ a[1].p: 81 -> 82"},
		{"items without names, and not as many", "a: [{p: 80}]", "a: [{p: 80}, {p: 82}]", `~ a: [{"p":80}] -> [{"p":80},{"p":82}]`, ""},
		{"bookkeeping", "metadata: {resourceVersion: '1', labels: {berth.dev/environment: a, b: c}}\nstatus: {x: y}",
			"metadata: {resourceVersion: '2', labels: {b: d}, annotations: {berth.dev/digest: x, berth.dev/wave: '1'}}",
			`+ metadata.annotations.berth.dev/wave: "1"; ~ metadata.labels.b: c -> d`, ""},
		{"one that goes", "kind: ConfigMap", "", "- kind: ConfigMap", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := object(t, test.before), object(t, test.after)
			if got := joined(fields.Compare(before, after)); got != test.want {
				t.Errorf("Compare:\n got %s\nwant %s", got, test.want)
			}
			if test.wanted == "" {
				return
			}
			if got := joined(fields.Wanted(before, after)); got != test.wanted {
				t.Errorf("Wanted:\n got %s\nwant %s", got, test.wanted)
			}
		})
	}
}

func TestHide(t *testing.T) {
	for _, test := range []struct{ name, before, after, want string }{
		{"a Secret", "apiVersion: v1\nkind: Secret\ntype: a\ndata: {a: c2VjcmV0, b: c2VjcmV0, c: c2VjcmV0}", "apiVersion: v1\nkind: Secret\ntype: b\ndata: {a: aGlkZGVu, b: c2VjcmV0, d: c2VjcmV0}",
			"~ data.a: *** -> ***; - data.c: ***; + data.d: ***; ~ type: a -> b"},
		{"a Secret that is new", "", "apiVersion: v1\nkind: Secret\nstringData: {a: hidden}", "+ apiVersion: v1; + kind: Secret; + stringData.a: ***"},
		{"a Secret whose data are no mapping", "", "apiVersion: v1\nkind: Secret\ndata: hidden", "+ apiVersion: v1; + data: ***; + kind: Secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := joined(fields.Hide(fields.Compare(object(t, test.before), object(t, test.after)))); got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}

func joined(changes []fields.Change) string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.Lines()...)
	}
	return strings.Join(lines, "; ")
}
