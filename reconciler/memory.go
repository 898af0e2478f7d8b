package reconciler

import (
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/images"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// memory is what is remembered about an environment between passes. All of it can be lost.
type memory struct {
	// head is what was last rendered of the commit that should run. runs is what was last accepted.
	head, runs desired
	rejected   rejection
	unrendered unrendered
	// renderings run in parallel with the passes, by commit.
	renderings map[string]*rendering
	refusals   map[manifest.Key]plan.Refusal
	tries      map[manifest.Key]int
	// barred has, by refused object, what refuses it.
	barred map[manifest.Key]barrier
	fights fights
	trial  trial
	retry  retry
	// asking is what registries are asked for on behalf of the newest input, and named has all images of that input. The input
	// itself is not kept during the wait.
	asking images.Query
	named  []string
	// judges are the compiled expressions of the settings.
	judges   *health.Expressions
	settings string
	// awaited is when the environment began to wait for a sibling; zero: it does not wait.
	awaited time.Time
}

func (r *Reconciler) memory(environment string) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.memories[environment]
	if !ok {
		m = &memory{refusals: map[manifest.Key]plan.Refusal{}, tries: map[manifest.Key]int{}, barred: map[manifest.Key]barrier{}, fights: fights{}}
		r.memories[environment] = m
	}
	return m
}

// trial is how far the newest tried input got.
type trial struct {
	digest string
	stage  trialStage
	// refused counts how often in a row the cluster would have refused the newest input. moves counts the changes of
	// what blocks it.
	refused int
	moves   moves
}

// trialStage is a stage of a trial; each includes those before it.
type trialStage int

const (
	untried trialStage = iota
	valid              // the cluster would accept it
	held               // it did not become healthy, and stays because there is nothing to return to
)

// reached reports whether an input got to a stage.
func (t trial) reached(digest string, stage trialStage) bool {
	return t.digest == digest && t.stage >= stage
}

// reaches records that an input got to a stage.
func (t *trial) reaches(digest string, stage trialStage) { t.digest, t.stage = digest, stage }

// retry is a user's request for another attempt.
type retry struct {
	// due is the id of the request that begins with this pass; empty: none. begun is the id of the last request that
	// began.
	due, begun string
}

// isDue reports whether another attempt begins with this pass.
func (r retry) isDue() bool { return r.due != "" }

// begin records that a pass makes the requested attempt.
func (r *retry) begin(id string) { r.begun = id }

// postpone leaves the request to a later pass.
func (r *retry) postpone() { r.due = "" }

// asked reports whether a user asks for another attempt that has not begun yet. If so, it forgets all earlier failures,
// so that none of them blocks the attempt.
func (m *memory) asked(e Environment) bool {
	m.retry.due = ""
	if e.Retry == m.retry.begun {
		return false
	}
	m.retry.due = e.Retry
	if m.retry.isDue() {
		clear(m.refusals)
		clear(m.tries)
		clear(m.barred)
		m.unrendered, m.rejected, m.trial = unrendered{}, rejection{}, trial{}
	}
	return m.retry.isDue()
}

// accept records what the pass applies. If that is the newest commit, nothing is rejected any more.
func (m *memory) accept(e Environment, d desired, why error) {
	if !e.Suspended { // then nothing is applied
		m.runs = d
	}
	if why == nil {
		m.rejected = rejection{}
	}
}
