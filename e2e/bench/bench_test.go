package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
)

// The benchmark runs from end to end, with a load too small for meaningful figures.
func TestSmoke(t *testing.T) {
	binary, err := world.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := options{
		watchSecrets: defaults.watchSecrets,
		branches:     3, objects: 20, references: 100, encrypted: 3, farClusters: 2, attackSize: 1, attackSamples: 1, rounds: 1, samples: 2, workers: 4,
		idle: time.Second, settle: 200 * time.Millisecond,
		binary: binary, profiles: t.TempDir(), profileTime: time.Second, parts: partNames(),
	}
	figures := measure(smoke{t}, clustertest.Start(t, clustertest.Config{Audit: true}), t.TempDir(), o)
	if len(figures) < len(parts) {
		t.Errorf("there are %d figures of %d parts", len(figures), len(parts))
	}
	for _, f := range figures {
		// Zero is the expected number of requests, and possible for the CPU time of one second.
		if f.Value < 0 || f.Value == 0 && f.Budget > 0 && f.Unit != "" && f.Unit != "s" {
			t.Errorf("%s is %v", f.Name, f.Value)
		}
	}
	for _, name := range []string{"ours0.cpu", "ours0.allocs", "memory.heap", "idle.cpu"} {
		if found, err := filepath.Glob(filepath.Join(o.profiles, name+".pprof")); err != nil || len(found) != 1 {
			t.Errorf("there is no profile %s: %v", name, err)
		}
	}
	t.Log("\n" + table(figures))
}

// smoke is a test whose context lasts until its agent has ended.
type smoke struct{ *testing.T }

func (smoke) Context() context.Context { return context.Background() }

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name            string
		figure          figure
		budget, verdict string
	}{
		{"without a budget", figure{Value: 3}, "", ""},
		{"within", figure{Value: 1.3, Unit: "×", Budget: 1.3}, "1.3 ×", "held"},
		{"beyond", figure{Value: 1.31, Unit: "×", Budget: 1.3}, "1.3 ×", "exceeded"},
		{"none allowed, and none", figure{Budget: none}, "0", "held"},
		{"none allowed, and one", figure{Value: 1, Budget: none}, "0", "exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if budget, verdict := test.figure.verdict(); budget != test.budget || verdict != test.verdict {
				t.Errorf("got %q, %q, want %q, %q", budget, verdict, test.budget, test.verdict)
			}
		})
	}
}

func TestFleetHasTheUsualNumberOfObjectsAndKinds(t *testing.T) {
	usual, err := bareObjects("usual", branch(0), files())
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := bareObjects("fleet", branch(0), fleetFiles())
	if err != nil {
		t.Fatal(err)
	}
	kinds := func(objects []*unstructured.Unstructured) int {
		set := map[string]bool{}
		for _, o := range objects {
			set[o.GetKind()] = true
		}
		return len(set)
	}
	if len(fleet) != len(usual) || kinds(fleet) != kinds(usual) {
		t.Errorf("there are %d objects of %d kinds, want %d of %d", len(fleet), kinds(fleet), len(usual), kinds(usual))
	}
}

func TestBareObjectsAreAsManyAsBerths(t *testing.T) {
	objects, err := bareObjects("bare0", branch(7), files())
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != objectsPerBranch+2 {
		t.Errorf("there are %d objects, want the namespace, the binding of its account and %d", len(objects), objectsPerBranch)
	}
	for _, o := range objects {
		if o.GetLabels()[labelBench] != "bare0" || o.GetKind() != "Namespace" && o.GetNamespace() != "bare0-branch-0007" {
			t.Errorf("%s %s/%s bears %v", o.GetKind(), o.GetNamespace(), o.GetName(), o.GetLabels())
		}
	}
}
