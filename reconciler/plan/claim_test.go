package plan_test

import (
	"slices"
	"testing"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

func claim(name, size string, edits ...edit) manifest.Object {
	return object("v1", "PersistentVolumeClaim", name, append(edits, field(size, "spec", "resources", "requests", "storage"))...)
}

// A claim that is larger in the cluster than in Git keeps its size. A claim that Git shrinks does not.
func TestAClaimStaysAsLargeAsItIs(t *testing.T) {
	const path = "spec.resources.requests.storage"
	for _, test := range []struct {
		name, git, there string
		left             bool
	}{
		{"unchanged", "10Gi", "", false},
		{"it is larger in the cluster", "10Gi", "30Gi", true},
		{"it is larger in another unit", "10Gi", "20480Mi", true},
		{"it is larger in Git", "40Gi", "30Gi", false},
		{"it is as large in another unit", "30Gi", "30720Mi", false},
		{"Git says nonsense", "much", "30Gi", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.git(claim("db", test.git))
			w.settle()
			w.change("PersistentVolumeClaim/db", func(l *observed.Object) { l.Enlarged = test.there })
			w.git(claim("db", test.git, version(2)))
			p := w.plan()
			i := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Key.Kind == "PersistentVolumeClaim" })
			if left := slices.Contains(p.Steps[i].Leave, path); left != test.left || left != (len(p.Warnings) > 0) {
				t.Errorf("it is left: %t, want %t, with the warnings %q", left, test.left, p.Warnings)
			}
		})
	}
}
