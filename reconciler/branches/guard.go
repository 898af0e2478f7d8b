package branches

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
)

// Guard remembers which Environments may be torn down. Both controllers share it.
type Guard struct {
	mu sync.Mutex
	of map[string]allowance // by the Environment's name
}

// allowance is what the Guard remembers of one Environment.
type allowance struct {
	uid types.UID
	// noticed is when this process first saw that the Environment is being deleted.
	noticed time.Time
	// allowed says that it may be torn down; activity is its activity at that moment. An Environment that expires needs
	// to be allowed again after new activity.
	allowed  bool
	activity string
}

// NewGuard returns a Guard that has allowed nothing yet.
func NewGuard() *Guard { return &Guard{of: map[string]allowance{}} }

// DeletedFor returns how long this process has seen an Environment being deleted. The deletion timestamp is not used:
// the API server's clock may differ from the agent's.
func (g *Guard) DeletedFor(env *v1alpha1.Environment, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.get(env)
	if a.noticed.IsZero() {
		a.noticed = now
		g.of[env.Name] = a
	}
	return now.Sub(a.noticed)
}

// Allow records that an Environment may be torn down.
func (g *Guard) Allow(env *v1alpha1.Environment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.get(env)
	a.allowed, a.activity = true, Activity(env)
	g.of[env.Name] = a
}

// Allowed reports whether an Environment may be torn down: it was allowed, and there was no activity since.
func (g *Guard) Allowed(env *v1alpha1.Environment) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.get(env)
	return a.allowed && (!env.DeletionTimestamp.IsZero() || a.activity == Activity(env))
}

// get returns the entry of this Environment, and not that of an earlier one with the same name.
func (g *Guard) get(env *v1alpha1.Environment) allowance {
	if a := g.of[env.Name]; a.uid == env.UID {
		return a
	}
	return allowance{uid: env.UID}
}

// Forget drops an Environment that no longer exists.
func (g *Guard) Forget(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.of, name)
}
