package branches

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Turns limits how many environments sync at the same time. When a turn ends, the next one goes to the repository with the
// fewest syncs, and within it to the environment that came first.
type Turns struct {
	limit   int // 0: no bound
	mu      sync.Mutex
	running map[types.NamespacedName]string // repository, by environment
	waiting []turn                          // in the order of arrival
}

// turn is an environment that waits for its turn.
type turn struct {
	name       types.NamespacedName
	repository string
}

// NewTurns returns Turns for this many concurrent syncs; 0: no limit.
func NewTurns(limit int) *Turns {
	return &Turns{limit: limit, running: map[types.NamespacedName]string{}}
}

// line returns the waiting environments in the order in which they get their turns.
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

// Jump gives an environment its turn at once, beyond the limit: production does not wait for previews.
func (t *Turns) Jump(name types.NamespacedName, repository string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(name)
	t.running[name] = repository
}

// Take gives an environment its turn, or returns why it has to wait.
func (t *Turns) Take(name types.NamespacedName, repository string) string {
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

// End ends the turn of an environment, or its wait, and returns the environments that can have a turn now.
func (t *Turns) End(name types.NamespacedName) []types.NamespacedName {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ran := t.running[name]
	if left := t.leave(name); !ran && !left {
		return nil
	}
	delete(t.running, name)
	return t.next()
}

// next returns the waiting environments that can start now.
func (t *Turns) next() []types.NamespacedName {
	var names []types.NamespacedName
	for _, o := range line(t.waiting, t.running) {
		if len(names) < t.limit-len(t.running) {
			names = append(names, o.name)
		}
	}
	return names
}

// leave removes an environment from the queue, and reports whether it was there.
func (t *Turns) leave(name types.NamespacedName) bool {
	before := len(t.waiting)
	t.waiting = slices.DeleteFunc(t.waiting, func(o turn) bool { return o.name == name })
	return len(t.waiting) < before
}
