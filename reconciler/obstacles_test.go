package reconciler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

func TestWhatWasRefusedIsTriedAgainWhenItsObstacleMoves(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	later := now.Add(fatalPause)
	a, b := keyNamed("a"), keyNamed("b")
	m := &memory{
		refusals: map[manifest.Key]plan.Refusal{a: {Fatal: true, Until: later}, b: {Fatal: true, Until: later}, keyNamed("c"): {Until: later}},
		tries:    map[manifest.Key]int{a: 1, b: 5},
		rejected: rejection{err: fmt.Errorf("refused"), until: later, obstacles: []manifest.Key{keyNamed("d")}},
	}
	if got := m.obstacles(); !slices.Equal(got, []manifest.Key{a, b, keyNamed("d")}) {
		t.Errorf("it attends %v", got)
	}
	m.reconsider([]manifest.Key{a, keyNamed("e")}, now)
	if m.refusals[a].Until != now || m.refusals[b].Until != later || m.rejected.until != later {
		t.Errorf("after the first has moved: %v, %v, %v", m.refusals[a].Until, m.refusals[b].Until, m.rejected.until)
	}
	// What changes all the time is not tried all the time.
	m.reconsider([]manifest.Key{b, keyNamed("d")}, now)
	if got := m.refusals[b].Until; got != now.Add(8*time.Second) {
		t.Errorf("after five tries, the next is in %s", got.Sub(now))
	}
	if m.rejected.until != now {
		t.Errorf("the commit is tried in %s", m.rejected.until.Sub(now))
	}
	if got := soonAfter(100); got != longPause {
		t.Errorf("after a hundred tries, the next is in %s", got)
	}
	m.reconsider([]manifest.Key{b}, now.Add(time.Hour))
	if got := m.refusals[b].Until; got != now.Add(8*time.Second) {
		t.Error("what is due already is put off")
	}
}
