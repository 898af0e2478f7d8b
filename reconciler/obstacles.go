package reconciler

import (
	"maps"
	"slices"
	"time"

	"berth.dev/berth/reconciler/manifest"
)

// mostObstacles bounds how many objects one environment attends because of what was refused.
const mostObstacles = 16

// reconsider has what was refused because of objects that have changed since tried again: soon at first, and at most
// once a minute where they change all the time.
func (m *memory) reconsider(moved []manifest.Key, now time.Time) {
	for _, key := range moved {
		if refusal, ok := m.refusals[key]; ok {
			if at := now.Add(soonAfter(m.tries[key])); at.Before(refusal.Until) {
				refusal.Until = at
				m.refusals[key] = refusal
			}
		}
		if at := now.Add(soonAfter(m.refused)); slices.Contains(m.rejected.obstacles, key) && at.Before(m.rejected.until) {
			m.rejected.until = at
		}
	}
}

// soonAfter is how long to wait with the n-th try after an obstacle has moved.
func soonAfter(n int) time.Duration {
	if n <= 2 {
		return 0
	}
	return min(firstPause<<min(n-2, 10), longPause)
}

// obstacles are the objects whose change may let pass what is refused now.
func (m *memory) obstacles() []manifest.Key {
	keys := slices.Clone(m.rejected.obstacles)
	for key, refusal := range m.refusals {
		if refusal.Fatal || refusal.Taken {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	unique := make(map[manifest.Key]bool, len(keys))
	for _, key := range keys {
		unique[key] = true
	}
	keys = slices.SortedFunc(maps.Keys(unique), manifest.Key.Compare)
	return keys[:min(len(keys), mostObstacles)]
}
