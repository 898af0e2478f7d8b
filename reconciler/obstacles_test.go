package reconciler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

func TestWhatWasRefusedIsTriedAgainWhenItsObstacleMoves(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	later := now.Add(fatalPause)
	a, b, c, d, policy := keyNamed("a"), keyNamed("b"), keyNamed("c"), keyNamed("d"), keyNamed("policy")
	m := &memory{
		refusals: map[manifest.Key]plan.Refusal{a: {Fatal: true, Until: later}, b: {Fatal: true, Until: later}, c: {Until: later}},
		tries:    map[manifest.Key]int{a: 50},
		barred:   map[manifest.Key]barrier{b: {by: []manifest.Key{policy}}},
		rejected: rejection{err: fmt.Errorf("refused"), until: later, objects: []manifest.Key{d}, by: []manifest.Key{policy}},
	}
	if got := m.obstacles(); !slices.Equal(got, []manifest.Key{policy, a, b, d}) {
		t.Errorf("it attends %v", got)
	}
	m.reconsider([]manifest.Key{a, keyNamed("e")}, now)
	if m.refusals[a].Until != now || m.refusals[b].Until != later || m.rejected.until != later {
		t.Errorf("after the first has moved: %v, %v, %v", m.refusals[a].Until, m.refusals[b].Until, m.rejected.until)
	}
	// An API server acts upon the deletion of a policy a moment later.
	m.reconsider([]manifest.Key{policy}, now)
	if want := now.Add(effectPause); m.refusals[b].Until != want || m.rejected.until != want || m.refusals[c].Until != later {
		t.Errorf("after the policy has moved: %v, %v, %v", m.refusals[b].Until, m.rejected.until, m.refusals[c].Until)
	}
	m.reconsider([]manifest.Key{d}, now)
	if m.rejected.until != now {
		t.Errorf("the commit is tried in %s", m.rejected.until.Sub(now))
	}
	m.reconsider([]manifest.Key{b}, now.Add(time.Hour))
	if got := m.refusals[b].Until; got != now.Add(effectPause) {
		t.Error("what is due already is put off")
	}
}

// Obstacles that change all the time do not cause retries all the time. A change after a long calm counts at once.
func TestObstaclesThatMoveAllTheTime(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	var m moves
	var pauses []time.Duration
	for range 7 {
		pauses = append(pauses, m.next(now, 0).Sub(now))
	}
	if want := []time.Duration{0, 0, 0, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}; !slices.Equal(pauses, want) {
		t.Errorf("it is tried after %v, want %v", pauses, want)
	}
	if got := soonAfter(100); got != longPause {
		t.Errorf("after a hundred changes, the next try is in %s", got)
	}
	now = now.Add(time.Hour)
	if got := m.next(now, 0); got != now {
		t.Errorf("after an hour of calm it is tried in %s", got.Sub(now))
	}
}

// denying is a policy that refuses an operation on the ConfigMap b of one namespace.
const denying = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NS}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
    resourceRules: [{apiGroups: [""], apiVersions: ["*"], resources: [configmaps], resourceNames: [b], operations: [OPERATIONS]}]
  validations: [{expression: "false", message: b stays as it is}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NS}
spec: {policyName: NS, validationActions: [Deny]}
`

var policies = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}

// forbids creates a policy, waits until probe is refused, and returns a function that deletes the policy.
func (w *world) forbids(operations string, probe func() error) (lifts func()) {
	w.t.Helper()
	text := strings.NewReplacer("NS", w.env.Namespace, "OPERATIONS", operations).Replace(denying)
	for i, document := range strings.Split(text, "---\n") {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &obj.Object); err != nil {
			w.t.Fatal(err)
		}
		client := w.admin.Resource([]schema.GroupVersionResource{policies, {Group: policies.Group, Version: policies.Version, Resource: "validatingadmissionpolicybindings"}}[i])
		if _, err := client.Create(w.t.Context(), obj, metav1.CreateOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	impatient := time.After(patience)
	for probe() == nil {
		select {
		case <-impatient:
			w.t.Fatal("the policy is not in force")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return func() {
		w.t.Helper()
		if err := w.admin.Resource(policies).Delete(w.t.Context(), w.env.Namespace, metav1.DeleteOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// The deletion of a policy is an event. What the policy refused is retried then, whatever the time of the next retry.
func TestTheEndOfAPolicyIsAnEvent(t *testing.T) {
	dryRun := []string{metav1.DryRunAll}
	for name, test := range map[string]struct {
		operations string
		now        func(w *world)
		barred     func(m *memory, b manifest.Key) bool
		delay      func(m *memory, b manifest.Key, until time.Time)
		done       func(w *world) bool
	}{
		"that refuses a commit": {
			"UPDATE", func(w *world) { w.commits("b.yaml", configMap("b", "two")) },
			func(m *memory, _ manifest.Key) bool { return m.rejected.err != nil && m.trial.moves.n > 0 },
			func(m *memory, _ manifest.Key, until time.Time) { m.rejected.until = until },
			func(w *world) bool { return w.value("b", "v") == "two" },
		},
		"that refuses to have drift reverted": {
			"UPDATE", func(w *world) { w.edits("ConfigMap/b", `{"metadata":{"annotations":{"berth.dev/digest":null}}}`) },
			isBarred, delayed,
			func(w *world) bool { return w.look("ConfigMap/b").GetAnnotations()[manifest.AnnotationDigest] != "" },
		},
		"that refuses a deletion": {
			"DELETE", func(w *world) { w.commits("b.yaml", "") },
			isBarred, delayed,
			func(w *world) bool { return w.look("ConfigMap/b") == nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.commits("a.yaml", configMap("a", "one"), "b.yaml", configMap("b", "one"))
			w.becomes(plan.Settled)
			m, b := w.memory(w.env.Name), w.key("ConfigMap/b")
			client, _ := w.client("ConfigMap/b")
			test.now(w) // before the policy, which would also refuse a user's edit
			lifts := w.forbids(test.operations, func() error {
				if test.operations == "DELETE" {
					return client.Delete(t.Context(), "b", metav1.DeleteOptions{DryRun: dryRun})
				}
				_, err := client.Update(t.Context(), w.look("ConfigMap/b"), metav1.UpdateOptions{DryRun: dryRun})
				return err
			})
			w.passes("a refusal, and a first look at the policy", func(Outcome) bool { return test.barred(m, b) })
			test.delay(m, b, w.now().Add(time.Hour))
			lifts()
			w.passes("another try", func(Outcome) bool { return test.done(w) })
		})
	}
}

func isBarred(m *memory, b manifest.Key) bool {
	return m.refusals[b].Message != "" && m.barred[b].n > 0
}

func delayed(m *memory, b manifest.Key, until time.Time) {
	refusal := m.refusals[b]
	refusal.Until = until
	m.refusals[b] = refusal
}
