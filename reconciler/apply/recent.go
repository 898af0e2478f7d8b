package apply

import (
	"maps"
	"sync"
	"time"

	"berth.dev/berth/reconciler/plan"
)

const (
	// settling is how long a control plane may take to notice a new namespace, grant or kind. Its parts watch each
	// other, and there may be several API servers.
	settling = 30 * time.Second
	// settlingRetry is the retry interval during that time.
	settlingRetry = time.Second
)

const rbacGroup = "rbac.authorization.k8s.io"

// recent remembers our recent writes that the API server consults in decisions about other objects. So "there is no
// such namespace" right after its creation means "not yet".
type recent struct {
	now func() time.Time

	mu sync.Mutex
	// made is by the namespace in which it matters; "" for all.
	made map[string]map[made]time.Time
}

// note records what a step wrote.
func (r *recent) note(s plan.Step, done Done) {
	if s.Object == nil || !isLookedUp(s.Key) || isNamespace(s.Key) && s.Live != nil || done == Deleted || done == Unchanged {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for namespace, here := range r.made {
		maps.DeleteFunc(here, func(_ made, at time.Time) bool { return now.Sub(at) >= settling })
		if len(here) == 0 {
			delete(r.made, namespace)
		}
	}
	m := madeBy(s)
	if r.made[m.where()] == nil {
		r.made[m.where()] = map[made]time.Time{}
	}
	r.made[m.where()][m] = now
}

// proved forgets the grants in a namespace, because a request has just shown that the grants and the namespace are
// known.
func (r *recent) proved(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.made[namespace], func(m made, _ time.Time) bool { return m.key.Group == rbacGroup || isNamespace(m.key) })
}

// cures reports whether a refusal of a step may only mean that the API server has not yet seen our latest writes.
func (r *recent) cures(s plan.Step, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, here := range []map[made]time.Time{r.made[""], r.made[s.Key.Namespace]} {
		for m, at := range here {
			if now.Sub(at) < settling && m.cures(s, err) {
				return true
			}
		}
	}
	return false
}
