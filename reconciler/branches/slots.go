package branches

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
	born int64 // creation time, in seconds
	// holds reports whether it has a slot.
	holds bool
}

// place returns the position of an Environment in the queue, from 1; 0: it gets a slot. Holders keep their slots and are not
// in the queue. The others follow in the order of their creation.
func place(all []contender, uid types.UID, limit int) int {
	var queue []contender
	taken := 0
	for _, c := range all {
		if c.holds {
			taken++
			continue
		}
		queue = append(queue, c)
	}
	slices.SortFunc(queue, func(a, b contender) int { return cmp.Or(cmp.Compare(a.born, b.born), cmp.Compare(a.name, b.name)) })
	free := max(0, limit-taken)
	return max(0, 1+slices.IndexFunc(queue, func(c contender) bool { return c.uid == uid })-free)
}

// Slots hands out the slots of entries with a limit. It knows the holders, and those that wait, before the cluster shows them.
type Slots struct {
	mu      sync.Mutex
	held    map[types.UID]bool
	waiting map[types.UID]bool
}

// NewSlots returns Slots without holders.
func NewSlots() *Slots { return &Slots{held: map[types.UID]bool{}, waiting: map[types.UID]bool{}} }

// Has reports whether an Environment was given a slot, which it keeps.
func (s *Slots) Has(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[uid]
}

// Await records that an Environment wants a slot. It is called before the siblings for Take are read. So an Environment whose
// siblings are outdated already waits when a slot becomes free, and Awaits reports that.
func (s *Slots) Await(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[uid] = true
}

// Awaits reports whether an Environment waits for a slot.
func (s *Slots) Awaits(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[uid]
}

// Take gives an Environment a slot, or returns why it has to wait. siblings are all Environments of its entry; holds reports
// what the cluster shows.
func (s *Slots) Take(env *v1alpha1.Environment, siblings []v1alpha1.Environment, limit int, holds func(*v1alpha1.Environment) bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]contender, 0, len(siblings))
	for i := range siblings {
		o := &siblings[i]
		if o.UID == env.UID || s.held[o.UID] || !dormant(o) {
			all = append(all, contender{name: o.Name, uid: o.UID, born: o.CreationTimestamp.Unix(), holds: s.held[o.UID] || holds(o)})
		}
	}
	nth := place(all, env.UID, limit)
	if nth == 0 {
		s.held[env.UID] = true
		delete(s.waiting, env.UID)
		return ""
	}
	return fmt.Sprintf("place %d in the queue: the limit of its entry is %d; delete a branch, or raise the limit", nth, limit)
}

// dormant reports whether an Environment needs no slot, because it has expired and its branch has not been used since.
func dormant(env *v1alpha1.Environment) bool {
	return IsReason(env, v1alpha1.ReasonExpired) && env.Status.Activity == Activity(env)
}

// Release frees the slot of an Environment, or ends its wait.
func (s *Slots) Release(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, uid)
	delete(s.waiting, uid)
}
