package observed_test

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"berth.dev/berth/reconciler/observed"
)

// A Service of which Git sets the port 80. Others have added a type, labels, a name of the port 80, and the port 81.
const (
	gitsPorts = `{"f:spec":{"f:ports":{"k:{\"port\":80}":{".":{},"f:port":{}}}}}`
	livePorts = `{"f:data":{},"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:type":{},"f:ports":{
		"k:{\"port\":80}":{".":{},"f:port":{},"f:name":{},"f:protocol":{}},
		"k:{\"port\":81}":{".":{},"f:port":{},"f:name":{},"f:protocol":{}}}}}`
	theirPorts = `{"f:data":{},"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:ports":{
		"k:{\"port\":80}":{"f:name":{}},"k:{\"port\":81}":{".":{},"f:port":{},"f:name":{}}}}}`
)

func set(t *testing.T, text string) *fieldpath.Set {
	t.Helper()
	s := &fieldpath.Set{}
	if err := s.FromJSON(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

// paths returns the members of a set, without the dot before each.
func paths(s *fieldpath.Set) (list []string) {
	for path := range s.All() {
		list = append(list, strings.TrimPrefix(path.String(), "."))
	}
	slices.Sort(list)
	return list
}

func TestWhatGrowsAroundAComplaint(t *testing.T) {
	const (
		data         = "data"
		kind         = "spec.type"
		name80, pr80 = "spec.ports[port=80].name", "spec.ports[port=80].protocol"
		port81       = "spec.ports[port=81]"
		name81, pr81 = port81 + ".name", port81 + ".protocol"
	)
	other := entry("kubectl-edit", theirPorts)
	other.APIVersion = "apps/v1beta1"
	port := func(n int, field ...any) fieldpath.Path {
		return fieldpath.MakePathOrDie(append([]any{"spec", "ports", fieldpath.KeyByFields("port", n)}, field...)...)
	}
	everything := [][]string{{data, name80, pr80, port81, name81, pr81, kind}}
	for _, test := range []struct {
		name      string
		entries   []metav1.ManagedFieldsEntry
		complaint fieldpath.Path
		want      [][]string
	}{
		{"a field, and then more and more around it", []metav1.ManagedFieldsEntry{entry("kubectl-edit", theirPorts)}, port(80, "name"),
			[][]string{{name80}, {name80, pr80}, {name80, port81, name81}, {name80, pr80, port81, name81, pr81}, {name80, pr80, port81, name81, pr81, kind}, everything[0]}},
		{"a field that only a default has, and not at once what others own beside it", []metav1.ManagedFieldsEntry{entry("kubectl-edit", theirPorts)}, port(80, "protocol"),
			[][]string{{pr80}, {name80, pr80}, {name80, port81, name81}, {name80, pr80, port81, name81, pr81}, {name80, pr80, port81, name81, pr81, kind}, everything[0]}},
		{"a field that is not there", []metav1.ManagedFieldsEntry{entry("kubectl-edit", theirPorts)}, port(80, "nodePort"),
			[][]string{{name80}, {name80, pr80}, {name80, port81, name81}, {name80, pr80, port81, name81, pr81}, {name80, pr80, port81, name81, pr81, kind}, everything[0]}},
		{"an item that Git does not set, whole", []metav1.ManagedFieldsEntry{entry("kubectl-edit", theirPorts)}, port(81, "name"),
			[][]string{{port81, name81}, {port81, name81, pr81}, {name80, pr80, port81, name81, pr81}, {name80, pr80, port81, name81, pr81, kind}, everything[0]}},
		{"the whole object", []metav1.ManagedFieldsEntry{entry("kubectl-edit", theirPorts)}, nil, [][]string{{data, name80, port81, name81}, everything[0]}},
		{"no field has an owner", nil, nil, everything},
		{"a field that only Berth owns", []metav1.ManagedFieldsEntry{entry("berth", theirPorts)}, nil, everything},
		{"what another version of the API says cannot be compared", []metav1.ManagedFieldsEntry{other}, nil, everything},
		{"a subresource owns nothing that an apply could remove", []metav1.ManagedFieldsEntry{entry("kubectl-edit:status", theirPorts)}, nil, everything},
		{"two others", []metav1.ManagedFieldsEntry{entry("a", `{"f:data":{}}`), entry("b", `{"f:spec":{"f:type":{}}}`)}, nil, [][]string{{data, kind}, everything[0]}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := observed.BesideGit(set(t, livePorts), set(t, gitsPorts), test.entries, "apps/v1")
			var got [][]string
			for _, s := range b.Around(test.complaint) {
				got = append(got, paths(s))
			}
			if !slices.EqualFunc(got, test.want, slices.Equal) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestPartsCanBeRemovedByThemselves(t *testing.T) {
	b := observed.BesideGit(set(t, livePorts), set(t, gitsPorts), nil, "apps/v1")
	whole := b.Around(nil)
	if item := b.Around(fieldpath.MakePathOrDie("spec", "ports", fieldpath.KeyByFields("port", 81))); len(b.Parts(item[0])) != 1 {
		t.Errorf("an item has %d parts", len(b.Parts(item[0])))
	}
	var got [][]string
	for _, s := range b.Parts(whole[len(whole)-1]) {
		got = append(got, paths(s))
	}
	slices.SortFunc(got, slices.Compare)
	want := [][]string{{"data"}, {"spec.ports[port=80].name"}, {"spec.ports[port=80].protocol"},
		{"spec.ports[port=81]", "spec.ports[port=81].name", "spec.ports[port=81].protocol"}, {"spec.type"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLocate(t *testing.T) {
	object := map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"example.com/a.b": "c"}, "finalizers": []any{"a", "b"}},
		"spec": map[string]any{
			"replicas": int64(1),
			"ports":    []any{map[string]any{"port": int64(80)}, map[string]any{"port": int64(81), "protocol": "UDP"}},
			"args":     []any{"a", "b"},
		},
	}
	fields := set(t, `{"f:metadata":{"f:annotations":{"f:example.com/a.b":{}},"f:finalizers":{"v:\"a\"":{},"v:\"b\"":{}}},"f:spec":{"f:replicas":{},"f:args":{},"f:ports":{
		"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"k:{\"port\":81,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{}}}}}`)
	for _, test := range []struct{ field, want string }{
		{"spec.replicas", ".spec.replicas"},
		{"spec.paused", ".spec.paused"},
		{"spec.replicas.of", ".spec.replicas"},
		{"spec.ports[1].name", `.spec.ports[port=81,protocol="UDP"].name`},
		{"spec.ports[0].name", `.spec.ports[port=80,protocol="TCP"].name`},
		{"spec.ports[2].name", ".spec.ports"},
		{"spec.ports[-1].name", ".spec.ports"},
		{"spec.ports[x].name", ".spec.ports"},
		{"spec.args[1]", ".spec.args"},
		{"metadata.finalizers[1]", `.metadata.finalizers[="b"]`},
		{"metadata.annotations[example.com/a.b]", ".metadata.annotations.example.com/a.b"},
		{"metadata.annotations[example.com/a.b].c", ".metadata.annotations.example.com/a.b"},
		{"", ""},
	} {
		t.Run(test.field, func(t *testing.T) {
			if got := observed.Locate(test.field, object, fields).String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
