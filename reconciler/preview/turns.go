package preview

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// turns bounds how many environments sync at once. Who waits is let in as places become free: the
// repository with the fewest syncs first, and within it who came first.
type turns struct {
	limit   int // 0: no bound
	mu      sync.Mutex
	running map[types.NamespacedName]string // repository, by environment
	waiting []turn                          // in the order in which they came
}

// turn is an environment that waits for its turn.
type turn struct {
	name       types.NamespacedName
	repository string
}

// line returns those who wait in the order in which they are let in.
func line(waiting []turn, running map[types.NamespacedName]string) []turn {
	syncs := map[string]int{}
	for _, repository := range running {
		syncs[repository]++
	}
	type ranked struct {
		turn
		rank int
	}
	all := make([]ranked, 0, len(waiting))
	for _, t := range waiting {
		all = append(all, ranked{turn: t, rank: syncs[t.repository]})
		syncs[t.repository]++
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	sorted := make([]turn, 0, len(all))
	for _, t := range all {
		sorted = append(sorted, t.turn)
	}
	return sorted
}

// jump lets an environment in at once, whatever the bound: production is not queued behind previews.
func (t *turns) jump(name types.NamespacedName, repository string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(name)
	t.running[name] = repository
}

// take lets an environment in, or says why it has to wait.
func (t *turns) take(name types.NamespacedName, repository string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.running[name]; ok || t.limit == 0 {
		return ""
	}
	if !slices.ContainsFunc(t.waiting, func(o turn) bool { return o.name == name }) {
		t.waiting = append(t.waiting, turn{name: name, repository: repository})
	}
	if !slices.Contains(t.next(), name) {
		return fmt.Sprintf("waits for its turn: the agent's --sync-at-once is %d", t.limit)
	}
	t.leave(name)
	t.running[name] = repository
	return ""
}

// give ends an environment's turn, or its wait, and returns those for whom there is a place now.
func (t *turns) give(name types.NamespacedName) []types.NamespacedName {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ran := t.running[name]
	if left := t.leave(name); !ran && !left {
		return nil
	}
	delete(t.running, name)
	return t.next()
}

// next returns those who wait and for whom there is a place.
func (t *turns) next() []types.NamespacedName {
	var names []types.NamespacedName
	for _, o := range line(t.waiting, t.running) {
		if len(names) < t.limit-len(t.running) {
			names = append(names, o.name)
		}
	}
	return names
}

// leave takes an environment out of the queue, and says whether it was there.
func (t *turns) leave(name types.NamespacedName) bool {
	before := len(t.waiting)
	t.waiting = slices.DeleteFunc(t.waiting, func(o turn) bool { return o.name == name })
	return len(t.waiting) < before
}
