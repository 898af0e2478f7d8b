package apply

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// puts changes an object as a client that reads, changes and replaces it.
func (w *world) puts(manager, text, patch string) {
	w.t.Helper()
	o := w.object(text)
	edit, err := jsonpatch.DecodePatch([]byte(patch))
	if err != nil {
		w.t.Fatal(err)
	}
	before, err := json.Marshal(w.look(text))
	if err != nil {
		w.t.Fatal(err)
	}
	after, err := edit.Apply(before)
	if err != nil {
		w.t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal(after, obj); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.resource(o).Update(w.t.Context(), obj, metav1.UpdateOptions{FieldManager: manager}); err != nil {
		w.t.Fatal(err)
	}
}

// isAs fails the test unless an object has the same content as a new one from the same text.
func (w *world) isAs(text string) {
	w.t.Helper()
	fresh := anotherWorld(w.t)
	if clusterScoped := w.object(text).GetNamespace() == ""; clusterScoped {
		fresh = w
		text = with(text, "name: NS", "name: twin-NS")
	}
	fresh.created(text)
	got, want := content(w.look(text)), content(fresh.look(text))
	if clusterScoped := w.object(text).GetNamespace() == ""; clusterScoped {
		got = content(w.look(with(text, "name: twin-NS", "name: NS")))
	}
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		s, _ := json.Marshal(want)
		w.t.Errorf("it is\n%s\nand not as Git says:\n%s", strings.ReplaceAll(string(g), w.namespace, "NS"), strings.ReplaceAll(string(s), fresh.namespace, "NS"))
	}
}

// content returns an object without its identity and without values that the cluster allocates.
func content(obj *unstructured.Unstructured) map[string]any {
	c := maps.Clone(obj.DeepCopy().Object)
	delete(c, "metadata")
	delete(c, "status")
	for _, allotted := range []string{"clusterIP", "clusterIPs", "healthCheckNodePort"} {
		unstructured.RemoveNestedField(c, "spec", allotted)
	}
	ports, _, _ := unstructured.NestedSlice(c, "spec", "ports")
	for _, p := range ports {
		delete(p.(map[string]any), "nodePort")
	}
	if ports != nil {
		_ = unstructured.SetNestedSlice(c, ports, "spec", "ports")
	}
	return c
}

// A user may change the member of a union, or the key of a list item, with any kind of request. The object from Git
// is restored, and no other member or item remains.
func TestAnEditOfAUnionOrAKeyIsReverted(t *testing.T) {
	for _, test := range edits {
		for _, how := range []struct {
			name string
			do   func(w *world)
		}{
			{"kubectl edit", func(w *world) { w.puts("kubectl-edit", test.git, test.edit) }},
			{"another client", func(w *world) { w.puts("dashboard", test.git, test.edit) }},
		} {
			t.Run(test.name+"/"+how.name, func(t *testing.T) {
				w := newWorld(t)
				first := w.created(test.git)
				how.do(w)
				live := w.must(Corrected, w.do(plan.Correct, test.git, w.seen(test.git)))
				if live.Ownership != first.Ownership {
					t.Error("not exactly what Git says is ours again")
				}
				if live.Added != nil { // the next pass corrects that
					s := w.step(plan.Correct, test.git, live)
					s.TakeOver = live.Added
					w.must(Corrected, w.run(s)[0])
				}
				if own, leaves := leftByOthers[test.name]; leaves && how.name == "another client" {
					w.patchAs("admin", test.git, own) // the other client owns it, it is harmless, and it stays
				}
				w.isAs(test.git)
			})
		}
	}
}

// leftByOthers are patches without fields that may remain, because another client owns them and the API server
// ignores them.
var leftByOthers = map[string]string{
	"a Service's type, to a name": `{"spec":{"externalName":null}}`,
	"a DaemonSet's strategy":      `{"spec":{"updateStrategy":{"rollingUpdate":null}}}`,
}

// A commit may choose a different member of a union, even if only a default chose the previous one.
func TestACommitChoosesAnotherMemberOfAUnion(t *testing.T) {
	for _, test := range changes {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			live := w.created(test.before)
			s := w.step(plan.Change, test.after, live)
			if r := w.applier.Validate(t.Context(), w.target, []plan.Step{s})[0]; r.Err != nil {
				t.Errorf("validated, it is refused: %v", r.Err)
			}
			w.must(Changed, w.run(s)[0])
			if !strings.Contains(test.after, "CustomResourceDefinition") {
				w.isAs(test.after)
			}
		})
	}
}

// A union of a kind known only by its schema.
const (
	choices = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: choices.NS.example.com}
spec:
  group: NS.example.com
  scope: Namespaced
  names: {kind: Choice, plural: choices}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              one: {type: object, properties: {a: {type: string}}}
              other: {type: object, properties: {b: {type: string}}}
              kind: {type: string, default: Slow}
              slow: {type: object, default: {seconds: 3}, properties: {seconds: {type: integer}}}
              more: {type: string}
              steps: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [id], items: {type: object, required: [id], properties: {id: {type: integer}, name: {type: string}}}}
            oneOf: [{required: [one]}, {required: [other]}]
            x-kubernetes-validations:
            - {rule: "self.kind != 'Exact' || self.slow.seconds == 0", message: "only a slow one has seconds", fieldPath: .slow}
            - {rule: "!has(self.steps) || self.steps.size() < 2", message: "is one step"}
`
	choice = "{apiVersion: NS.example.com/v1, kind: Choice, metadata: {name: x, namespace: NS}, spec: {one: {a: x}, steps: [{id: 1}]}}"
)

func TestACustomResourcesUnionIsReverted(t *testing.T) {
	for name, edit := range map[string]string{
		"a member":         `[{"op":"remove","path":"/spec/one"},{"op":"add","path":"/spec/other","value":{"b":"y"}}]`,
		"a key":            `[{"op":"replace","path":"/spec/steps/0/id","value":2}]`,
		"a member and key": `[{"op":"remove","path":"/spec/one"},{"op":"add","path":"/spec/other","value":{"b":"y"}},{"op":"replace","path":"/spec/steps/0/id","value":2}]`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.created(choices)
			var first *observed.Object
			w.until(func() bool {
				r := w.do(plan.Create, choice, nil)
				first = r.Live
				return r.Err == nil
			})
			w.puts("operator", choice, `[{"op":"add","path":"/spec/more","value":"theirs"}]`)
			w.puts("dashboard", choice, edit)
			live := w.must(Corrected, w.do(plan.Correct, choice, w.seen(choice)))
			if live.Ownership != first.Ownership {
				t.Error("not exactly what Git says is ours again")
			}
			obj := w.look(choice)
			if field(t, obj, "spec", "other") != nil || len(field(t, obj, "spec", "steps").([]any)) != 1 {
				t.Errorf("what was done by hand is left: %v", obj.Object["spec"])
			}
			if field(t, obj, "spec", "more") != "theirs" {
				t.Errorf("what the operator added elsewhere is gone: %v", obj.Object["spec"])
			}
		})
	}
}

// Foreign fields that block nothing stay when an edit next to them is reverted.
func TestOnlyWhatIsInTheWayGoes(t *testing.T) {
	t.Run("a Deployment", func(t *testing.T) {
		w := newWorld(t)
		w.created(pods)
		w.puts("injector", pods, `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"proxy","image":"proxy","ports":[{"containerPort":15000,"name":"proxy"}]}},
			{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"TRACE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}},
			{"op":"add","path":"/spec/template/spec/containers/0/ports/-","value":{"containerPort":9999,"name":"metrics"}}]`)
		w.puts("dashboard", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/ports/0/containerPort","value":9090},
			{"op":"replace","path":"/spec/template/spec/containers/0/env/0","value":{"name":"MODE","valueFrom":{"configMapKeyRef":{"name":"a","key":"b"}}}}]`)
		w.must(Corrected, w.do(plan.Correct, pods, w.seen(pods)))
		text, err := json.Marshal(w.look(pods).Object["spec"])
		if err != nil {
			t.Fatal(err)
		}
		for _, stays := range []string{`"name":"proxy"`, `"name":"TRACE","valueFrom"`, `"name":"metrics"`} {
			if !strings.Contains(string(text), stays) {
				t.Errorf("%s is gone: %s", stays, text)
			}
		}
		for _, goes := range []string{"9090", "configMapKeyRef"} {
			if strings.Contains(string(text), goes) {
				t.Errorf("%s is left: %s", goes, text)
			}
		}
	})
	t.Run("a ConfigMap", func(t *testing.T) {
		w := newWorld(t)
		w.created(configMap)
		w.puts("injector", configMap, `[{"op":"add","path":"/data/ca","value":"theirs"}]`)
		w.puts("dashboard", configMap, `[{"op":"remove","path":"/data/mode"},{"op":"add","path":"/binaryData","value":{"mode":"AAEC"}}]`)
		w.must(Corrected, w.do(plan.Correct, configMap, w.seen(configMap)))
		obj := w.look(configMap)
		if got, want := field(t, obj, "data"), map[string]any{"mode": "fast", "ca": "theirs"}; !reflect.DeepEqual(got, want) {
			t.Errorf("data is %v", got)
		}
		if got := field(t, obj, "binaryData"); got != nil {
			t.Errorf("binaryData is %v", got)
		}
	})
	t.Run("a Service's other ports", func(t *testing.T) {
		w := newWorld(t)
		nodePort := with(front, "spec:", "spec:\n  type: NodePort")
		w.created(nodePort)
		before := field(t, w.look(front), "spec", "ports").([]any)[0].(map[string]any)["nodePort"]
		w.puts("operator", front, `[{"op":"add","path":"/spec/ports/-","value":{"name":"metrics","port":9999}}]`)
		w.puts("dashboard", front, `[{"op":"add","path":"/spec/ports/-","value":{"name":"admin","port":81}},{"op":"replace","path":"/spec/ports/0/name","value":"web"},{"op":"replace","path":"/spec/ports/2/name","value":"http"}]`)
		w.must(Corrected, w.do(plan.Correct, nodePort, w.seen(front)))
		var got []string
		for _, p := range field(t, w.look(front), "spec", "ports").([]any) {
			port := p.(map[string]any)
			got = append(got, port["name"].(string))
			if port["name"] == "http" && port["nodePort"] != before {
				t.Errorf("the port on the nodes is %v, and was %v", port["nodePort"], before)
			}
		}
		if !slices.Equal(got, []string{"http", "metrics"}) {
			t.Errorf("the ports are %v", got)
		}
	})
}

// A mistake in Git is refused with the usual message, without useless tries.
func TestAMistakeInGitIsNotMended(t *testing.T) {
	var sent []string
	w := newWorld(t, transport(func(r *http.Request) { sent = append(sent, r.Method) }))
	live := w.created(pods)
	w.puts("dashboard", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/livenessProbe","value":{"tcpSocket":{"port":8080}}}]`)
	sent = nil
	wrong := with(pods, "containerPort: 8080", "containerPort: 80800")
	r := w.classed(Invalid, w.do(plan.Change, wrong, live))
	if !strings.Contains(r.Err.Message, "containerPort") || !slices.Equal(sent, []string{http.MethodPatch, http.MethodPatch, http.MethodPost}) {
		t.Errorf("sent %q, got %s", sent, describe(r))
	}
	if got := w.look(pods).GetManagedFields(); !reflect.DeepEqual(observed.Ownership(got), w.seen(pods).Ownership) {
		t.Error("its fields were claimed")
	}
}
