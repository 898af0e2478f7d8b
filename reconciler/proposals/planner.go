package proposals

import (
	"cmp"
	"context"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// settle is how long a plan waits for what replaces it. It also keeps plans from competing with the sync of the push that
	// they follow.
	settle = time.Second
	// longest bounds one plan.
	longest = 5 * time.Minute
	// firstRetry and lastRetry are the delays after errors that may pass, and tries is how often a plan is tried.
	firstRetry, lastRetry = 10 * time.Second, 10 * time.Minute
	tries                 = 8
)

// PlannerConfig configures a Planner.
type PlannerConfig struct {
	// Draft makes a plan. An error may pass.
	Draft func(ctx context.Context, w Want) (Plan, error)
	// Panicked is called with what a draft panicked with, and where. The content of a merge request must not end the program.
	Panicked func(w Want, why any, stack []byte)
	// Done reports that a plan of a Repository is ready. It must not block.
	Done func(repository types.NamespacedName)
	Now  func() time.Time
}

// Planner makes the plans that are wanted, one at a time, so that they delay no sync. It keeps the newest plan of each subject.
type Planner struct {
	PlannerConfig
	signal chan struct{}

	mu      sync.Mutex
	wants   map[Subject]wanted
	plans   map[Subject]drafted
	running running
	turn    int64
	// made is the turn at which the last plan of a Repository began.
	made map[types.NamespacedName]int64
}

// wanted is a plan that is to be made.
type wanted struct {
	Want
	due      time.Time
	turn     int64 // the order of arrival
	failures int
}

// drafted is a plan with what it depends on.
type drafted struct {
	Plan
	key string
}

// running is the plan that is being made.
type running struct {
	Want
	cancel context.CancelFunc
}

// NewPlanner returns a Planner.
func NewPlanner(c PlannerConfig) *Planner {
	return &Planner{PlannerConfig: c, signal: make(chan struct{}, 1), wants: map[Subject]wanted{}, plans: map[Subject]drafted{}, made: map[types.NamespacedName]int64{}}
}

// Want lets a plan be made soon, in place of an earlier one for the same subject. It does nothing if that plan is there, or
// about to be made.
func (p *Planner) Want(w Want) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plans[w.Subject].key == w.Key || p.wants[w.Subject].Key == w.Key || p.running.cancel != nil && p.running.Want == w {
		return
	}
	if p.running.cancel != nil && p.running.Subject == w.Subject {
		p.stop()
	}
	p.turn++
	p.wants[w.Subject] = wanted{Want: w, due: p.Now().Add(settle), turn: p.turn}
	p.poke()
}

// Planned returns the newest plan of a subject, and the key of what it depends on; empty: there is none.
func (p *Planner) Planned(s Subject) (plan Plan, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.plans[s]
	return d.Plan, d.key
}

// Retain drops the plans of a Repository, except those of some subjects.
func (p *Planner) Retain(repository types.NamespacedName, keep map[Subject]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := func(s Subject) bool { return s.Repository == repository && !keep[s] }
	for s := range p.wants {
		if gone(s) {
			delete(p.wants, s)
		}
	}
	for s := range p.plans {
		if gone(s) {
			delete(p.plans, s)
		}
	}
	if p.running.cancel != nil && gone(p.running.Subject) {
		p.stop()
	}
	if len(keep) == 0 {
		delete(p.made, repository)
	}
}

// stop stops the plan that is being made. It takes a moment to end, and its result is dropped: meanwhile it may be wanted again.
// The caller holds the lock.
func (p *Planner) stop() {
	p.running.cancel()
	p.running = running{}
}

// Start makes plans until the context ends.
func (p *Planner) Start(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.signal:
		case <-timer.C:
		}
		timer.Stop()
		next := p.makeDue(ctx)
		if !next.IsZero() {
			timer.Reset(max(next.Sub(p.Now()), time.Millisecond))
		}
	}
}

func (p *Planner) poke() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// makeDue makes the plans that are due, and returns when the next one is; zero: none is wanted.
func (p *Planner) makeDue(ctx context.Context) time.Time {
	for ctx.Err() == nil {
		w, next := p.take()
		if w.Key == "" {
			return next
		}
		p.make(ctx, w)
	}
	return time.Time{}
}

// take returns the next plan to make, or else when one will be due. The Repository whose last plan is the longest ago is
// first: one with many merge requests delays the plans of others by one plan only.
func (p *Planner) take() (first wanted, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Now()
	for _, w := range p.wants {
		switch {
		case now.Before(w.due):
			if next.IsZero() || w.due.Before(next) {
				next = w.due
			}
		case first.Key == "" || cmp.Or(cmp.Compare(p.made[w.Repository], p.made[first.Repository]), cmp.Compare(w.turn, first.turn)) < 0:
			first = w
		}
	}
	return first, next
}

// draft makes a plan that is small enough to be kept.
func (p *Planner) draft(ctx context.Context, w Want) (plan Plan, err error) {
	defer func() {
		if why := recover(); why != nil {
			p.Panicked(w, why, debug.Stack())
			plan, err = Plan{Environment: w.Environment, Commit: w.Commit, Problems: []string{"cannot plan: a mistake in Berth; the agent's log says where: report it"}}, nil
		}
	}()
	plan, err = p.Draft(ctx, w)
	return plan.bounded(), err
}

// make makes a plan, and keeps it unless another one was wanted meanwhile.
func (p *Planner) make(ctx context.Context, w wanted) {
	drafting, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	p.mu.Lock()
	if current, still := p.wants[w.Subject]; !still || current.turn != w.turn {
		p.mu.Unlock()
		return
	}
	delete(p.wants, w.Subject)
	p.turn++
	p.made[w.Repository] = p.turn
	p.running = running{Want: w.Want, cancel: cancel}
	p.mu.Unlock()

	plan, err := p.draft(drafting, w.Want)

	p.mu.Lock()
	superseded := drafting.Err() == context.Canceled
	p.running = running{}
	_, replaced := p.wants[w.Subject]
	switch {
	case superseded || replaced || ctx.Err() != nil:
	case err != nil && w.failures < tries:
		w.failures++
		w.due = p.Now().Add(min(firstRetry<<(w.failures-1), lastRetry))
		p.wants[w.Subject] = w
	default:
		if err != nil {
			plan = Plan{Environment: w.Environment, Commit: w.Commit, Problems: []string{"cannot plan: " + err.Error() + "; the next push is planned again"}}
		}
		p.plans[w.Subject] = drafted{Plan: plan, key: w.Key}
	}
	_, ready := p.plans[w.Subject]
	p.mu.Unlock()
	if ready && ctx.Err() == nil {
		p.Done(w.Repository)
	}
}
