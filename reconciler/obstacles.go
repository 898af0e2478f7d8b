package reconciler

import (
	"slices"
	"time"

	"berth.dev/berth/reconciler/manifest"
)

// mostObstacles is how many objects one environment watches at most because of refusals.
const mostObstacles = 16

// effectPause is how long an API server may take to act upon a changed policy, webhook or quota, because it watches
// them too.
const effectPause = 2 * time.Second

// barrier is what refuses an object, and how often the barrier or the object has changed.
type barrier struct {
	by []manifest.Key
	moves
}

// moves counts consecutive changes of obstacles.
type moves struct {
	n    int
	last time.Time
}

// next returns when to retry after a change: soon at first, and at most once a minute under continuous changes.
func (m *moves) next(now time.Time, effect time.Duration) time.Time {
	if now.Sub(m.last) > 2*longPause {
		m.n = 0
	}
	m.n, m.last = m.n+1, now
	return now.Add(max(effect, soonAfter(m.n)))
}

// soonAfter returns how long to wait after the n-th change.
func soonAfter(n int) time.Duration {
	if n <= 3 {
		return 0
	}
	return min(firstPause<<min(n-3, 10), longPause)
}

// reconsider schedules retries of refused objects because of objects that have changed since.
func (m *memory) reconsider(moved []manifest.Key, now time.Time) {
	for object, refusal := range m.refusals {
		barrier := m.barred[object]
		if effect, ok := lifts(moved, []manifest.Key{object}, barrier.by); ok {
			if at := barrier.next(now, effect); at.Before(refusal.Until) {
				refusal.Until = at
				m.refusals[object] = refusal
			}
			m.barred[object] = barrier
		}
	}
	if effect, ok := lifts(moved, m.rejected.objects, m.rejected.by); ok {
		if at := m.trial.moves.next(now, effect); at.Before(m.rejected.until) {
			m.rejected.until = at
		}
	}
}

// lifts reports whether the change of some objects may unblock others that are refused, and how long that takes to
// show.
func lifts(moved, objects, by []manifest.Key) (effect time.Duration, ok bool) {
	among := func(keys []manifest.Key) bool {
		return slices.ContainsFunc(moved, func(k manifest.Key) bool { return slices.Contains(keys, k) })
	}
	if among(objects) {
		return 0, true
	}
	return effectPause, among(by)
}

// obstacles returns the objects whose change may unblock what is refused now. What refuses objects comes first, because
// several objects may share it. The refused objects follow.
func (m *memory) obstacles() []manifest.Key {
	by, objects := slices.Clone(m.rejected.by), slices.Clone(m.rejected.objects)
	for key, refusal := range m.refusals {
		by = append(by, m.barred[key].by...)
		if refusal.Fatal || refusal.Taken {
			objects = append(objects, key)
		}
	}
	var keys []manifest.Key
	for _, some := range [][]manifest.Key{by, objects} {
		slices.SortFunc(some, manifest.Key.Compare)
		for _, key := range slices.Compact(some) {
			if !slices.Contains(keys, key) && len(keys) < mostObstacles {
				keys = append(keys, key)
			}
		}
	}
	return keys
}
