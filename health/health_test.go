package health

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// fixture is a live object from testdata and the health that its first line expects: "# Status" or "# Status: message".
// A fixture that gives no message leaves it open.
type fixture struct {
	name    string
	object  *unstructured.Unstructured
	status  Status
	message string
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures (%v)", err)
	}
	var all []fixture
	for _, path := range paths {
		all = append(all, load(t, strings.TrimSuffix(filepath.Base(path), ".yaml")))
	}
	return all
}

func load(t testing.TB, name string) fixture {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(content), "\n")
	expect, ok := strings.CutPrefix(head, "# ")
	if !ok {
		t.Fatalf("%s: the first line does not say which health it expects", name)
	}
	status, message, _ := strings.Cut(expect, ": ")
	return fixture{name, object(t, content), Status(status), message}
}

func object(t testing.TB, content []byte) *unstructured.Unstructured {
	t.Helper()
	json, err := yaml.YAMLToJSON(content)
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(json); err != nil {
		t.Fatalf("%v in %s", err, content)
	}
	return obj
}

func TestOf(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			before := f.object.DeepCopy()
			got := Of(f.object)
			if got.Status != f.status || f.message != "" && got.Message != f.message {
				t.Errorf("got  %s: %s\nwant %s: %s", got.Status, got.Message, f.status, f.message)
			}
			checkMessage(t, got)
			if !bytes.Equal(marshal(t, before), marshal(t, f.object)) {
				t.Error("the object was changed")
			}
		})
	}
}

func checkMessage(t *testing.T, h Health) {
	t.Helper()
	if guessed := strings.HasPrefix(h.Message, "counts as healthy because it exists: "); (h.Status == Healthy) != (h.Message == "" || guessed) {
		t.Errorf("%s with message %q", h.Status, h.Message)
	}
	if strings.ContainsAny(h.Message, "\n\r") {
		t.Errorf("message of several lines: %q", h.Message)
	}
}

func marshal(t *testing.T, obj *unstructured.Unstructured) []byte {
	t.Helper()
	json, err := obj.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return json
}

func TestFixturesAreNamedAfterTheirKind(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range fixtures(t) {
		kind, state, _ := strings.Cut(f.name, "-")
		if kind != strings.ToLower(f.object.GetKind()) || state == "" {
			t.Errorf("%s holds a %s: want <kind>-<state>.yaml", f.name, f.object.GetKind())
		}
		seen[kind] = true
	}
	for kind := range judges {
		if !seen[strings.ToLower(kind.Kind)] {
			t.Errorf("%s has a rule and no fixture", kind)
		}
	}
}

func TestTemplatesAreNotRead(t *testing.T) {
	for _, f := range fixtures(t) {
		want := Of(f.object)
		unstructured.RemoveNestedField(f.object.Object, "spec", "template")
		unstructured.RemoveNestedField(f.object.Object, "spec", "jobTemplate")
		unstructured.RemoveNestedField(f.object.Object, "spec", "containers")
		unstructured.RemoveNestedField(f.object.Object, "spec", "initContainers")
		if got := Of(f.object); got != want {
			t.Errorf("%s: %v with templates, %v without", f.name, want, got)
		}
	}
}

func TestMetadataIsEnoughWhereNeedsIsFalse(t *testing.T) {
	for _, f := range fixtures(t) {
		if Needs(f.object.GroupVersionKind().GroupKind()) {
			continue
		}
		for field := range f.object.Object {
			switch field {
			case "apiVersion", "kind", "metadata":
			default:
				delete(f.object.Object, field)
			}
		}
		if got := Of(f.object); got.Status != f.status {
			t.Errorf("%s: %v from its metadata, want %s", f.name, got, f.status)
		}
	}
}

func TestNeeds(t *testing.T) {
	for _, test := range []struct {
		group, kind string
		want        bool
	}{
		{"", "ConfigMap", false},
		{"", "Secret", false},
		{"", "Service", false},
		{"", "ServiceAccount", false},
		{"", "Namespace", false},
		{"networking.k8s.io", "Ingress", false},
		{"rbac.authorization.k8s.io", "Role", false},
		{"", "Pod", true},
		{"", "PersistentVolumeClaim", true},
		{"apps", "Deployment", true},
		{"apps", "StatefulSet", true},
		{"apps", "DaemonSet", true},
		{"batch", "Job", true},
		{"batch", "CronJob", true},
		{"autoscaling", "HorizontalPodAutoscaler", true},
		{"apiextensions.k8s.io", "CustomResourceDefinition", true},
		{"example.com", "Service", true},
		{"cert-manager.io", "Certificate", true},
	} {
		if got := Needs(schema.GroupKind{Group: test.group, Kind: test.kind}); got != test.want {
			t.Errorf("Needs(%s.%s) = %t", test.kind, test.group, got)
		}
	}
	for kind := range judges {
		if plain[kind] {
			t.Errorf("%s has a rule and is plain", kind)
		}
	}
}

func TestNothingToJudge(t *testing.T) {
	for _, obj := range []*unstructured.Unstructured{nil, {}} {
		if got := Of(obj).Status; got != Unknown {
			t.Errorf("Of(%v) = %s, want Unknown", obj, got)
		}
		if got := OfPod(obj).Health.Status; got != Unknown {
			t.Errorf("OfPod(%v) = %s, want Unknown", obj, got)
		}
	}
}

func TestForeignTextIsBounded(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"several lines", "one\n\n two\tthree ", "one two three"},
		{"not UTF-8", "a\xffb", "a?b"},
		{"too long", strings.Repeat("é", maxMessage+1), strings.Repeat("é", maxMessage-1) + "…"},
		{"just fits", strings.Repeat("é", maxMessage), strings.Repeat("é", maxMessage)},
	} {
		if got := oneLine(test.text); got != test.want {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

// If any field of a real object holds garbage, the judgement is still valid and has a reason.
func TestAnyFieldMayBeGarbage(t *testing.T) {
	for _, f := range fixtures(t) {
		for _, garbage := range []any{nil, "text", int64(-1), 1.5, true, []any{"x", nil}, map[string]any{"x": nil}} {
			disturb(f.object.Object, garbage, func() {
				checkMessage(t, Of(f.object))
				OfPod(f.object)
			})
		}
	}
}

// disturb replaces every field below node by the value, one at a time, and calls check each time.
func disturb(node any, value any, check func()) {
	switch node := node.(type) {
	case map[string]any:
		for key, old := range node {
			node[key] = value
			check()
			node[key] = old
			disturb(old, value, check)
		}
	case []any:
		for i, old := range node {
			node[i] = value
			check()
			node[i] = old
			disturb(old, value, check)
		}
	}
}

func FuzzOf(f *testing.F) {
	for _, fix := range fixtures(f) {
		json, err := fix.object.MarshalJSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(json)
	}
	f.Fuzz(func(t *testing.T, json []byte) {
		obj := &unstructured.Unstructured{}
		if obj.UnmarshalJSON(json) != nil {
			return
		}
		checkMessage(t, Of(obj))
		OfPod(obj)
	})
}

func BenchmarkOf(b *testing.B) {
	for _, name := range []string{"deployment-complete", "job-complete", "pod-ready", "configmap-plain", "certificate-ready"} {
		f := load(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Of(f.object)
			}
		})
	}
}
