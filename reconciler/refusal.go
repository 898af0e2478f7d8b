package reconciler

import (
	"cmp"
	"maps"
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// How long to wait before what the API server refused is tried again: what passes by itself soon, an
// author's mistake rarely (a policy or another object may have changed meanwhile).
const (
	firstPause = time.Second
	slowPause  = 5 * time.Second // after what held a pass for as long as a time-out
	longPause  = time.Minute
	fatalPause = 5 * time.Minute
	// liftedPause is the longest for what a policy, a right or a quota refuses, and for a deletion: with the jitter, it is
	// tried again within a minute of the obstacle's end, also where no event reports that.
	liftedPause = 40 * time.Second
	atOncePause = 50 * time.Millisecond
)

// judging returns the environment with its expressions compiled, which is done once for its settings.
func (m *memory) judging(e Environment) Environment {
	if m.judges == nil || m.settings != e.Settings {
		judges, err := health.Compile(e.Expressions)
		if e.Problem = cmp.Or(e.Problem, err); err != nil {
			return e
		}
		m.judges, m.settings = judges, e.Settings
	}
	e.judges = m.judges
	return e
}

// tidy forgets what concerns objects of which the plan knows nothing any more.
func (m *memory) tidy(p plan.Plan) {
	known := make(map[manifest.Key]bool, len(p.Steps))
	for _, s := range p.Steps {
		known[s.Key] = true
	}
	maps.DeleteFunc(m.refusals, func(k manifest.Key, _ plan.Refusal) bool { return !known[k] })
	maps.DeleteFunc(m.tries, func(k manifest.Key, _ int) bool { return !known[k] })
	maps.DeleteFunc(m.barred, func(k manifest.Key, _ barrier) bool { return !known[k] })
}

// remember keeps what the API server refused, so that it is tried again at the right time, and forgets
// what passed. It marks the results that say nothing new, and returns how many fights have begun.
func (m *memory) remember(c Config, results []apply.Result) (fights int) {
	m.retry.due = ""
	fights = m.fights.note(results, c.Now())
	for i, r := range results {
		key := r.Step.Key
		if r.Err == nil || r.Revealed() {
			delete(m.refusals, key)
			delete(m.tries, key)
			delete(m.barred, key)
			continue
		}
		fatal, pause := pauseAfter(r.Err.Class, m.tries[key])
		if r.Step.Action == plan.Delete {
			pause = min(pause, liftedPause)
		}
		pause = max(pause+time.Duration(float64(pause)*c.Jitter()/2), r.Err.RetryAfter)
		results[i].Repeated = m.refusals[key].Message == r.Err.Message && m.refusals[key].Digest == r.Step.Content()
		m.tries[key]++
		m.barred[key] = barrier{by: r.Err.Obstacles, moves: m.barred[key].moves}
		m.refusals[key] = plan.Refusal{
			Digest: r.Step.Content(), Message: r.Err.Message, Fatal: fatal,
			Immutable: r.Err.Class == apply.Immutable, Taken: r.Err.Class == apply.Taken, Unanswered: r.Err.Class == apply.Unanswered,
			Until: c.Now().Add(pause),
		}
	}
	return fights
}

// pauseAfter says how long to wait after the n-th refusal in a row, and whether it needs help.
func pauseAfter(class apply.Class, n int) (fatal bool, pause time.Duration) {
	switch class {
	case apply.Conflict, apply.Skipped:
		return false, min(atOncePause<<min(n, 10), longPause)
	case apply.Transient, apply.Terminating, apply.Exists:
		return false, min(firstPause<<min(n, 10), longPause)
	case apply.Unanswered:
		return false, min(slowPause<<min(n, 10), longPause)
	case apply.Quota, apply.Forbidden, apply.Denied, apply.Missing:
		return true, min(10*firstPause<<min(n, 10), liftedPause)
	case apply.NotServed:
		return true, min(10*firstPause<<min(n, 10), fatalPause)
	}
	return class != apply.Taken, fatalPause
}
