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

// How long to wait before a refused step is retried. Temporary errors are retried soon. Mistakes of an author are
// retried rarely, because a policy or another object may have changed meanwhile.
const (
	firstPause = time.Second
	slowPause  = 5 * time.Second // after a step that held a pass until it timed out
	longPause  = time.Minute
	fatalPause = 5 * time.Minute
	// liftedPause is the maximum pause for a deletion, and for what a policy, a right or a quota refuses. With the
	// jitter, the retry comes within a minute of the obstacle's end, even if no event reports that.
	liftedPause = 40 * time.Second
	atOncePause = 50 * time.Millisecond
)

// judging returns the environment with its expressions compiled. It compiles them once for the same settings.
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

// tidy forgets objects that the plan no longer has.
func (m *memory) tidy(p plan.Plan) {
	known := make(map[manifest.Key]bool, len(p.Steps))
	for _, s := range p.Steps {
		known[s.Key] = true
	}
	maps.DeleteFunc(m.refusals, func(k manifest.Key, _ plan.Refusal) bool { return !known[k] })
	maps.DeleteFunc(m.tries, func(k manifest.Key, _ int) bool { return !known[k] })
	maps.DeleteFunc(m.barred, func(k manifest.Key, _ barrier) bool { return !known[k] })
}

// remember records the refusals of the API server, so that each is retried at the right time, and forgets what
// succeeded. It marks the results that say nothing new, and returns how many fights have begun.
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

// pauseAfter returns whether the n-th refusal in a row needs help, and how long to wait after it.
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
