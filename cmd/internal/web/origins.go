package web

import (
	"context"
	"sync"
	"time"

	"berth.dev/berth/api/v1alpha1"
)

// The limits of known origins: for how many commits they are kept, and when a commit that could not be read is tried again.
const (
	maxOrigins  = 50
	originsWait = time.Minute
)

// origins knows where the objects of commits are in Git. A commit never changes, so that each is rendered once.
type origins struct {
	mu    sync.Mutex
	known map[string]places // by environment and commit
}

// places are the origins of one commit.
type places struct {
	byObject map[string]string
	retry    time.Time // zero if they are known
}

// of returns where the objects of a commit are, or nothing if it cannot be read here.
func (o *origins) of(ctx context.Context, d Differ, env *v1alpha1.Environment, commit string, now time.Time) map[string]string {
	key := env.Name + "@" + commit
	o.mu.Lock()
	known, ok := o.known[key]
	o.mu.Unlock()
	if d == nil || commit == "" || ok && (known.retry.IsZero() || now.Before(known.retry)) {
		return known.byObject
	}
	found, err := d.Origins(ctx, env.DeepCopy(), commit)
	if ctx.Err() != nil {
		return nil
	}
	p := places{byObject: found}
	if err != nil { // the clone may get the commit later
		p = places{retry: now.Add(originsWait)}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil || len(o.known) >= maxOrigins {
		o.known = map[string]places{}
	}
	o.known[key] = p
	return p.byObject
}
