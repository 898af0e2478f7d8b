package preview

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
)

// contender is an Environment of an entry with a limit.
type contender struct {
	name string
	uid  types.UID
	born int64 // when it was made, in seconds
	// holds says that it has a berth.
	holds bool
}

// place returns which place in the queue an Environment has, from 1; 0 says that there is a berth for it.
// Who has one keeps it; the others come in the order in which they were made.
func place(all []contender, uid types.UID, limit int) int {
	var queue []contender
	taken := 0
	for _, c := range all {
		if c.holds {
			taken++
			if c.uid == uid {
				return 0
			}
			continue
		}
		queue = append(queue, c)
	}
	slices.SortFunc(queue, func(a, b contender) int { return cmp.Or(cmp.Compare(a.born, b.born), cmp.Compare(a.name, b.name)) })
	free := max(0, limit-taken)
	return max(0, 1+slices.IndexFunc(queue, func(c contender) bool { return c.uid == uid })-free)
}

// berths knows who has a berth in the entries that have a limit, before the cluster shows it.
type berths struct {
	mu   sync.Mutex
	held map[types.UID]bool
}

// has says whether an Environment was given a berth, which it keeps.
func (b *berths) has(uid types.UID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held[uid]
}

// take gives an Environment a berth among all of its entry, or says why it has none. holds tells what the
// cluster shows.
func (b *berths) take(env *v1alpha1.Environment, siblings []v1alpha1.Environment, limit int, holds func(*v1alpha1.Environment) bool) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]contender, 0, len(siblings))
	for i := range siblings {
		s := &siblings[i]
		if s.UID == env.UID || b.held[s.UID] || !dormant(s) {
			all = append(all, contender{name: s.Name, uid: s.UID, born: s.CreationTimestamp.Unix(), holds: b.held[s.UID] || holds(s)})
		}
	}
	nth := place(all, env.UID, limit)
	if nth == 0 {
		b.held[env.UID] = true
		return ""
	}
	return fmt.Sprintf("place %d in the queue, for the limit of its entry is %d; delete a branch, or raise the limit", nth, limit)
}

// dormant says whether an Environment wants no berth, for it has expired and nobody has touched it since.
func dormant(env *v1alpha1.Environment) bool {
	return isReason(env, v1alpha1.ReasonExpired) && env.Status.Activity == activity(env)
}

// give takes the berth of an Environment back.
func (b *berths) give(uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, uid)
}
