package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Pulse shows whether a controller still makes progress. Without it, a process whose workers are deadlocked or blocked would
// look alive.
type Pulse struct {
	name string
	now  func() time.Time

	mu      sync.Mutex
	next    int
	running map[int]time.Time // when each reconcile began
	last    time.Time         // when the newest ended, or made progress
}

// NewPulse returns the Pulse of the named controller.
func NewPulse(name string, now func() time.Time) *Pulse {
	return &Pulse{name: name, now: now, running: map[int]time.Time{}}
}

// Of wraps a reconciler so that the Pulse sees it.
func (p *Pulse) Of(r reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		defer p.begin()()
		return r.Reconcile(ctx, request)
	})
}

func (p *Pulse) begin() (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := p.next
	p.next++
	p.running[id] = p.now()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.running, id)
		p.last = p.now()
	}
}

// Beat reports progress of a long operation that has a time-out of its own.
func (p *Pulse) Beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = p.now()
}

// Check returns an error if a reconcile has been running for longer than the limit and none has ended within it.
func (p *Pulse) Check(limit time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.now().Add(-limit)
	if p.last.After(since) {
		return nil
	}
	for _, began := range p.running {
		if began.Before(since) {
			return fmt.Errorf("the controller %s is stuck: a reconcile is running, and none has ended for %s", p.name, limit)
		}
	}
	return nil
}
