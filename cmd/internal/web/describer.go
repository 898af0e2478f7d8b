package web

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// A description is shared by all pages that ask within its age. It may take as long as describing.
const (
	freshness  = time.Second
	describing = 30 * time.Second
)

// describer describes environments, once for all browsers that ask at the same time.
type describer struct {
	inspector Inspector
	now       func() time.Time
	flights   singleflight.Group

	mu    sync.Mutex
	known map[string]described
}

type described struct {
	inspect.Description
	version string
	at      time.Time
}

func newDescriber(i Inspector, now func() time.Time) *describer {
	return &describer{inspector: i, now: now, known: map[string]described{}}
}

// describe returns an environment with its objects.
func (d *describer) describe(ctx context.Context, env *v1alpha1.Environment) inspect.Description {
	if known, ok := d.recent(env); ok {
		return known
	}
	answer := d.flights.DoChan(env.Name+"@"+env.ResourceVersion, func() (any, error) {
		// Another browser may wait for the answer when this one is gone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), describing)
		defer cancel()
		found := d.inspector.Describe(ctx, env.DeepCopy())
		d.keep(env, found)
		return found, nil
	})
	select {
	case result := <-answer:
		return result.Val.(inspect.Description)
	case <-ctx.Done():
		return inspect.Description{Environment: env}
	}
}

func (d *describer) recent(env *v1alpha1.Environment) (inspect.Description, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.known[env.Name]
	return known.Description, ok && known.version == env.ResourceVersion && d.now().Sub(known.at) < freshness
}

// keep remembers a description, and forgets old ones.
func (d *describer) keep(env *v1alpha1.Environment, found inspect.Description) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, known := range d.known {
		if d.now().Sub(known.at) >= freshness {
			delete(d.known, name)
		}
	}
	d.known[env.Name] = described{found, env.ResourceVersion, d.now()}
}
