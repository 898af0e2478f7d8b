package live

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/observed"
)

func TestSameIsWhatDecisionsCannotTellApart(t *testing.T) {
	base := observed.Object{UID: "1", ResourceVersion: "1", Finalizers: []string{"a"}, Job: &observed.Job{Program: "p"}}
	for name, test := range map[string]struct {
		change func(*observed.Object)
		want   bool
	}{
		"nothing":              {func(*observed.Object) {}, true},
		"the resource version": {func(l *observed.Object) { l.ResourceVersion = "2" }, true},
		"the API version":      {func(l *observed.Object) { l.APIVersion = "v2" }, true},
		"an equal Job":         {func(l *observed.Object) { l.Job = &observed.Job{Program: "p"} }, true},
		"the Job's end":        {func(l *observed.Object) { l.Job = &observed.Job{Program: "p", Finished: true} }, false},
		"the UID":              {func(l *observed.Object) { l.UID = "2" }, false},
		"a finalizer":          {func(l *observed.Object) { l.Finalizers = nil }, false},
		"the health's message": {func(l *observed.Object) { l.Health = health.Health{Message: "m"} }, false},
		"the ownership":        {func(l *observed.Object) { l.Ownership = "o" }, false},
	} {
		other := base
		test.change(&other)
		if got := same(base, other); got != test.want {
			t.Errorf("%s changed: same is %t, want %t", name, got, test.want)
		}
	}
}

func TestWhatCannotBeComparedIsNewerTheLaterItComes(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"2", "1", 1}, {"1", "1", 0}, {"9", "10", -1}, {"", "1", 1}, {"1", "x7", 1}} {
		if got := compare(test.a, test.b); got != test.want {
			t.Errorf("compare(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestGravesAreClearedAway(t *testing.T) {
	g := graves{of: map[types.UID]grave{}}
	now := time.Unix(1000, 0)
	g.dig("old", "", now)
	g.dig("reopened", "", now)
	g.open("reopened", now.Add(-time.Second))
	if !g.has("reopened") {
		t.Error("a list from before the deletion opened a grave")
	}
	g.open("reopened", now.Add(time.Second))
	if g.has("reopened") {
		t.Error("a list from after the deletion left a grave closed")
	}
	g.dig("new", "", now.Add(2*lateEvents))
	if g.has("old") || !g.has("new") || len(g.order) != 1 {
		t.Errorf("left are %v", g.order)
	}
}
