package reconciler

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// copied returns an object that an environment copies into its namespace, with changes.
func copied(namespace string, change ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "pull", "namespace": namespace}, "data": map[string]any{"v": "Y29waWVk"},
	}}
	for _, f := range change {
		f(secret)
	}
	return secret
}

// A copy belongs to the environment like any other object, unless Git has one of the same name.
func TestCopies(t *testing.T) {
	w := newWorld(t)
	w.env.Copies = []Copy{{Origin: "Secret berth/pull (copied)", Object: copied(w.env.Namespace)}}
	w.commits("a.yaml", configMap("a", "one"))
	if o := w.becomes(plan.Settled); found(o).Total != 3 {
		t.Errorf("%d objects", found(o).Total)
	}
	w.secretSays("Y29waWVk")
	w.edits("Secret/pull", `{"data":{"v":"aGFuZA=="}}`)
	w.passes("the copy to be kept up to date", func(Outcome) bool { return w.secret() == "Y29waWVk" })

	w.commits("pull.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: pull}, stringData: {v: own}}\n")
	w.becomes(plan.Settled)
	w.secretSays("b3du")
	w.commits("pull.yaml", "")
	w.becomes(plan.Settled)
	w.secretSays("Y29waWVk")
}

// An object that was in the namespace before the copy belongs to a user, a program or another environment.
func TestACopyOverwritesNothing(t *testing.T) {
	marked := func(field string, marks map[string]any) func(*unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) { o.Object["metadata"].(map[string]any)[field] = marks }
	}
	for _, test := range []struct {
		name string
		mark func(*unstructured.Unstructured)
	}{
		{"made by hand", func(*unstructured.Unstructured) {}},
		{"Helm's", marked("annotations", map[string]any{"meta.helm.sh/release-name": "pull", "meta.helm.sh/release-namespace": "default"})},
		{"another environment's", marked("labels", map[string]any{manifest.LabelEnvironment: "a1b2c3.other"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.env.Namespace, w.env.SharedNamespace = strings.TrimSuffix(w.env.Namespace, "-env"), true
			w.commits("a.yaml", configMap("a", "one"))
			w.becomes(plan.Settled)
			there := copied(w.env.Namespace, test.mark, func(o *unstructured.Unstructured) { o.Object["data"] = map[string]any{"v": "aGFuZA=="} })
			client, _ := w.client("Secret/pull")
			if _, err := client.Create(t.Context(), there, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			w.env.Copies, w.env.Settings = []Copy{{Origin: "Secret berth/pull (copied)", Object: copied(w.env.Namespace)}}, "with a copy"
			o := w.becomes(plan.Settled)
			if want := "Secret/pull is there already and stays as it is"; len(found(o).Warnings) != 1 || !strings.Contains(found(o).Warnings[0], want) {
				t.Errorf("the warnings are %q, want %q", found(o).Warnings, want)
			}
			w.secretSays("aGFuZA==")
			// It is tried once more, because the Secret may have gone before it was watched. After that, it is not
			// tried again.
			tried := 0
			for range 5 {
				if sent := w.wire.during("", func() { w.becomes(plan.Settled) }); slices.ContainsFunc(sent, writes) {
					tried++
				}
			}
			if tried > 1 {
				t.Errorf("it is tried again %d times", tried)
			}
			w.starts(w.env.Namespace)
			w.becomes(plan.Settled)
			w.secretSays("aGFuZA==")

			if err := client.Delete(t.Context(), "pull", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			w.advances(fatalPause)
			w.passes("the copy in its place", func(Outcome) bool { return w.secret() == "Y29waWVk" })
		})
	}
}

// secret returns the content of the copied Secret; empty if there is none.
func (w *world) secret() string {
	w.t.Helper()
	obj := w.look("Secret/pull")
	if obj == nil {
		return ""
	}
	value, _, _ := unstructured.NestedString(obj.Object, "data", "v")
	return value
}

func (w *world) secretSays(want string) {
	w.t.Helper()
	if got := w.secret(); got != want {
		w.t.Errorf("the Secret holds %q, want %q", got, want)
	}
}
