package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/records"
)

// Pass takes an environment one step towards what Git says. It compares the desired state with the cluster, makes a
// plan, and carries out the steps that are ready. It waits only for the answers of the API server. Later changes in the
// cluster trigger the next pass.
func (r *Reconciler) Pass(ctx context.Context, e Environment) Outcome {
	m := r.memory(e.Name)
	e = m.judging(e)
	record, err := r.load(ctx, e.Name)
	m.abandon(e.Commit, e.Applied, e.Healthy, record.Sync.Commit)
	if err != nil && !isUnreadable(err) {
		return Outcome{Finding: NotJudged{}, Err: fmt.Errorf("reading the record: %w", err)}
	}
	if record.Leaving() {
		return r.leave(ctx, e)
	}
	lost := err != nil || e.Applied != "" && record.Sync.Digest == ""
	if m.asked(e) {
		record.Rejected = plan.Rejected{}
	}
	r.lookForImages(ctx, e, m, &record)
	m.reconsider(append(r.Cluster.Watches.Moved(e.ID), r.claims.freed(e.ID)...), r.Now())
	c := r.choose(ctx, e, m, &record)
	switch {
	case c.commit == "":
		err := r.save(ctx, e, record) // since when it waits for images
		return unplanned(e, passed{why: c.why, rejected: m.rejected, now: r.Now(), err: err})
	case c.sight == partial:
		return Outcome{Finding: NotJudged{}}
	case c.sight == disputed:
		return Outcome{Finding: NotJudged{}, Deadline: r.Now().Add(siblingLook)}
	}
	m.accept(e, c.desired, c.why)
	results, record, err := r.act(ctx, e, c.plan, record)
	fights := m.remember(r.Config, results)
	if len(results) > 0 {
		c.plan, _ = r.decide(e, m, c.desired, record)
	}
	m.tidy(c.plan)
	r.Cluster.Watches.Attend(e.ID, m.obstacles())
	if c.why == nil {
		r.reject(e, m, c.desired, &c.plan)
	}
	if err == nil {
		err = r.save(ctx, e, c.plan.Record)
	}
	return judged(e, c.desired, c.plan, passed{results: results, fights: fights, lost: lost, unchecked: c.unchecked, why: c.why, rejected: m.rejected, now: r.Now(), err: err})
}

// choice is what a pass chose to run.
type choice struct {
	desired // without a commit if there is nothing to choose from
	// why says why it is not the commit that should run; nil: it is.
	why   error
	plan  plan.Plan
	sight sight
	// unchecked says which images could not be checked; nil unless the wait for them ended with this pass.
	unchecked []string
}

// sight is how much is known about what a plan depends on.
type sight string

const (
	complete sight = "complete"
	partial  sight = "partial"  // a watch has not delivered everything yet
	disputed sight = "disputed" // a sibling that has not been reconciled yet has an object that is wanted here
)

// choose returns what should run, and the plan for it. It keeps what runs already if the cluster would refuse the
// newest commit, or if its images are not there. The record gets how far the wait for images is.
func (r *Reconciler) choose(ctx context.Context, e Environment, m *memory, record *plan.Record) choice {
	c := r.candidate(ctx, e, m, *record)
	for c.why == nil && c.sight == complete && (r.refuses(ctx, e, m, c.desired, c.plan) || r.awaits(ctx, e, m, &c, record)) {
		m.retry.postpone() // the retry was not for what runs
		c = r.candidate(ctx, e, m, *record)
	}
	return c
}

// candidate returns what should run, before the cluster has validated it.
func (r *Reconciler) candidate(ctx context.Context, e Environment, m *memory, record plan.Record) choice {
	c := choice{}
	c.desired, c.why = r.wanted(ctx, e, m, record)
	r.claim(e, c.desired, c.why)
	if c.commit == "" {
		return c
	}
	r.follow(e, c.set, record)
	r.Cluster.Watches.KeepWhole(e.judges.Kinds())
	waits := isRendering(c.why)
	if waits {
		m.retry.postpone() // it is meant for the commit that is being rendered
	}
	c.plan, c.sight = r.decide(e, m, c.desired, record)
	if !waits && c.sight == complete {
		m.retry.begin(e.Retry)
	}
	return c
}

// decide makes the plan from what is known about the cluster, and returns how much that is.
func (r *Reconciler) decide(e Environment, m *memory, d desired, record plan.Record) (plan.Plan, sight) {
	seen := r.observe(e, d.set, record)
	in, sight := r.input(e, m, d, seen, record)
	if syncing(seen) {
		sight = partial
	}
	return plan.Make(in), sight
}

// follow makes the watches follow what a set and the record have.
func (r *Reconciler) follow(e Environment, s manifest.Set, record plan.Record) {
	keys := make([]manifest.Key, 0, s.Len()+len(record.Applied))
	for _, o := range s.Objects {
		keys = append(keys, o.Key())
	}
	keys = slices.AppendSeq(keys, maps.Keys(record.Applied))
	r.Cluster.Watches.Follow(e.ID, live.Following{Namespace: e.Namespace, User: e.user(), Kinds: e.kinds(s, record), Keys: keys})
}

// kinds returns all kinds that have to be watched: those of Git, those of the agent, and those that were ever applied.
func (e Environment) kinds(s manifest.Set, record plan.Record) []schema.GroupVersionKind {
	kinds := plan.Input{Own: e.own(), Desired: s}.Kinds()
	seen := map[schema.GroupKind]bool{}
	for _, k := range kinds {
		seen[k.GroupKind()] = true
	}
	for _, k := range record.Kinds {
		if !seen[k.GroupKind()] {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (r *Reconciler) observe(e Environment, s manifest.Set, record plan.Record) observed.State {
	keys := make([]manifest.Key, 0, s.Len())
	for _, o := range slices.Concat(e.own(), s.Objects) {
		keys = append(keys, o.Key())
	}
	return r.Cluster.Watches.Observe(live.Query{
		Environment:    e.ID,
		Namespace:      e.Namespace,
		Kinds:          e.kinds(s, record),
		Keys:           keys,
		Expressions:    e.judges,
		Well:           record.Sync.Settled && !record.Sync.Degraded,
		Now:            r.Now(),
		ImagePullGrace: e.ImagePullGrace,
	})
}

// isUnreadable reports whether a record exists and cannot be read. It then counts as missing.
func isUnreadable(err error) bool {
	_, unreadable := errors.AsType[*records.UnreadableError](err)
	return unreadable
}

// syncing reports whether a watch is about to deliver what is not known yet.
func syncing(o observed.State) bool {
	for _, u := range o.Unknown {
		if u.State == observed.Syncing {
			return true
		}
	}
	return false
}

func (r *Reconciler) input(e Environment, m *memory, d desired, o observed.State, record plan.Record) (plan.Input, sight) {
	in := plan.Input{
		Name:         e.Name,
		Environment:  e.ID,
		Prover:       r.prover(),
		Within:       e.Namespace,
		Namespace:    e.namespace(),
		Own:          e.own(),
		Desired:      d.set,
		Digest:       d.digest,
		Commit:       d.commit,
		Observed:     o,
		Record:       record,
		Refusals:     m.refusals,
		Fights:       m.fights.going(r.Now()),
		Now:          r.Now(),
		Timeout:      e.Timeout,
		Suspended:    e.Suspended,
		Pinned:       e.Pinned,
		Past:         d.past,
		Incomplete:   d.incomplete,
		Retry:        m.retry.isDue(),
		Confirmation: e.Confirmation,
		Origin:       e.Path + " of " + e.URL,
	}
	sight := r.handover(e, m, d, &in)
	return in, sight
}

// act stores the plan's record and then carries out the steps that are ready. It returns the record with the effects of
// the steps.
func (r *Reconciler) act(ctx context.Context, e Environment, p plan.Plan, before plan.Record) ([]apply.Result, plan.Record, error) {
	record, ready := p.Record.Clone(), p.Ready()
	if len(ready) == 0 {
		return nil, record, nil
	}
	if record.Protects(before) {
		if err := r.save(ctx, e, record); err != nil {
			return nil, before, fmt.Errorf("storing the record: %w", err)
		}
	}
	results := r.Cluster.Applier.Run(ctx, r.target(e), ready)
	for _, result := range results {
		r.absorb(e, result)
		switch {
		case result.Err != nil:
		case result.Done == apply.Same:
			record.Same(result.Step)
		default:
			record.Wrote(result.Step, result.Live)
			record.Warned(result.Step.Key, result.Warnings)
		}
	}
	return results, record, nil
}

// absorb updates what is known about the cluster with the answer to a write for an environment.
func (r *Reconciler) absorb(e Environment, result apply.Result) {
	switch {
	case result.Live != nil:
		r.Cluster.Watches.Wrote(*result.Live)
	case result.Err == nil && result.Step.Live != nil:
		r.Cluster.Watches.Deleted(result.Step.Key, result.Step.Live.UID, e.ID)
	}
}
