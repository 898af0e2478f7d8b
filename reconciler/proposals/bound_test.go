package proposals

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/fields"
)

func TestAPlanKeepsWhatIsShown(t *testing.T) {
	for _, test := range []struct {
		rule string
		is   fields.Change
		want fields.Change
	}{
		{"a short value", fields.Change{Path: "spec.replicas", Old: int64(2), New: int64(3)}, fields.Change{Path: "spec.replicas", Old: int64(2), New: int64(3)}},
		{"a new field", fields.Change{Path: "data.a", New: "b"}, fields.Change{Path: "data.a", New: "b"}},
		{"a long value", fields.Change{Path: "data.a", Old: strings.Repeat("é", 1000), New: "b"}, fields.Change{Path: "data.a", Old: strings.Repeat("é", maxValue/2) + "…", New: "b"}},
		{"a list", fields.Change{Path: "spec.args", Old: []any{"<a>", int64(1)}}, fields.Change{Path: "spec.args", Old: `["<a>",1]`}},
		{"a text of several lines", fields.Change{Path: "data.a", Old: "a\nb\nc\n", New: "a\nx\ny\nc\n"}, fields.Change{Path: "data.a", New: Lines{Added: 2, Removed: 1}}},
		{"a text with empty lines", fields.Change{Path: "data.a", Old: "a\n\nb\n", New: "a\n\n\nc\n"}, fields.Change{Path: "data.a", New: Lines{Added: 2, Removed: 1}}},
		{"a text with lines like marks", fields.Change{Path: "data.a", Old: "+a\n-b\nc\n", New: "+a\n-b\nd\n"}, fields.Change{Path: "data.a", New: Lines{Added: 1, Removed: 1}}},
	} {
		if diff := cmp.Diff(test.want, short(test.is)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.rule, diff)
		}
	}
}

func TestAPlanCountsWhatItDoesNotList(t *testing.T) {
	var p Plan
	for i := range maxListed + 30 {
		c := Change{Verb: Added, Object: fmt.Sprint(i)}
		if i%2 == 0 {
			c = Change{Verb: Removed, Held: "the guard", Refused: "no"}
		}
		for range maxFields + 4 {
			c.Fields = append(c.Fields, fields.Change{Path: "a"})
		}
		p.Changes, p.Problems = append(p.Changes, c), append(p.Problems, "wrong")
	}
	p = p.bounded()
	want := Rest{Verbs: map[Verb]int{Added: 15, Removed: 15}, Refused: 15, Held: map[string]int{"the guard": 15}}
	if diff := cmp.Diff(want, p.Rest); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if first := p.Changes[0]; len(p.Changes) != maxListed || len(p.Problems) != maxListed || len(first.Fields) != maxFields || first.MoreFields != 4 {
		t.Errorf("it lists %d changes and %d problems, the first with %d fields and %d more", len(p.Changes), len(p.Problems), len(first.Fields), first.MoreFields)
	}
}

// A merge request may change megabytes. Its plan is kept as long as it is open.
func TestPlansOfLargeMergeRequestsAreSmall(t *testing.T) {
	const size, subjects = 8 << 20, 20
	p := NewPlanner(PlannerConfig{Now: time.Now, Done: func(types.NamespacedName) {}, Draft: func(_ context.Context, w Want) (Plan, error) {
		text := strings.Repeat(w.Key, size)
		return Plan{Problems: []string{text}, Changes: []Change{{Refused: text, Fields: []fields.Change{{Path: "data.text", Old: "a", New: text}}}}}, nil
	}})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range subjects {
		w := wanted{Want: Want{Subject: Subject{Number: int64(i)}, Key: "k"}}
		p.wants[w.Subject] = w
		p.make(t.Context(), w)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20; got > 8 {
		t.Errorf("%d plans take %d MiB", len(p.plans), got)
	}
}
