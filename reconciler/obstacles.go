package reconciler

import (
	"slices"
	"time"

	"berth.dev/berth/reconciler/manifest"
)

// mostObstacles bounds how many objects one environment attends because of what was refused.
const mostObstacles = 16

// effectPause is how long an API server may take to act upon a changed policy, webhook or quota, which it also watches.
const effectPause = 2 * time.Second

// barrier is what refuses an object, and how often that or the object has changed.
type barrier struct {
	by []manifest.Key
	moves
}

// moves counts the changes of obstacles that follow one upon another.
type moves struct {
	n    int
	last time.Time
}

// next says when to try again after a change: soon at first, and at most once a minute where they change all the time.
func (m *moves) next(now time.Time, effect time.Duration) time.Time {
	if now.Sub(m.last) > 2*longPause {
		m.n = 0
	}
	m.n, m.last = m.n+1, now
	return now.Add(max(effect, soonAfter(m.n)))
}

// soonAfter is how long to wait after the n-th change.
func soonAfter(n int) time.Duration {
	if n <= 3 {
		return 0
	}
	return min(firstPause<<min(n-3, 10), longPause)
}

// reconsider has what was refused tried again because of objects that have changed since.
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

// lifts reports whether the change of some objects may let pass others that are refused, and how long that takes to show.
func lifts(moved, objects, by []manifest.Key) (effect time.Duration, ok bool) {
	among := func(keys []manifest.Key) bool {
		return slices.ContainsFunc(moved, func(k manifest.Key) bool { return slices.Contains(keys, k) })
	}
	if among(objects) {
		return 0, true
	}
	return effectPause, among(by)
}

// obstacles are the objects whose change may let pass what is refused now: first what refuses it, which several objects
// may have in common, then the objects themselves.
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
