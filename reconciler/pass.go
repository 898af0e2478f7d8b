package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/records"
)

// Pass takes an environment one step towards what Git says: what should be, what is, the plan, the
// steps of it that can be taken now, and what has come of them. It waits for nothing but the answers of
// the API server; what has to happen in the cluster wakes the next pass.
func (r *Reconciler) Pass(ctx context.Context, e Environment) Outcome {
	m := r.memory(e.Name)
	e = m.judging(e)
	m.abandon(e.Commit, e.Applied, e.Healthy)
	record, err := r.Records.Load(ctx, e.Name)
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
	m.reconsider(append(r.Watches.Moved(e.ID), r.claims.freed(e.ID)...), r.Now())
	wanted, why := r.wanted(ctx, e, m, record)
	r.claim(e, wanted, why)
	if wanted.commit == "" {
		return unplanned(e, passed{why: why, rejected: m.rejected, now: r.Now()})
	}
	r.Watches.Follow(e.ID, e.Namespace, e.kinds(wanted.set, record))
	r.Watches.KeepWhole(e.judges.Kinds())
	p, known := r.decide(e, m, wanted, record)
	if !known {
		return Outcome{Finding: NotJudged{}}
	}
	if m.contested {
		return Outcome{Finding: NotJudged{}, Deadline: r.Now().Add(siblingLook)}
	}
	if isRendering(why) {
		m.again = false // it is meant for the commit that is being rendered
	} else {
		m.retried = e.Retry
	}
	if why == nil {
		if refused := r.validate(ctx, e, m, wanted, p); refused != nil {
			return r.Pass(ctx, e) // which keeps what runs
		}
	}
	m.accept(wanted, why)
	results, record, err := r.act(ctx, e, p, record)
	fights := m.remember(r.Config, results)
	if len(results) > 0 {
		p, _ = r.decide(e, m, wanted, record)
	}
	m.tidy(p)
	r.Watches.Attend(e.ID, m.obstacles())
	if why == nil {
		r.reject(e, m, wanted, &p)
	}
	if err == nil {
		err = r.Records.Save(ctx, e.Name, p.Record)
	}
	return judged(e, wanted, p, passed{results: results, fights: fights, lost: lost, why: why, rejected: m.rejected, now: r.Now(), err: err})
}

// decide makes the plan from what is known of the cluster, and says whether enough is.
func (r *Reconciler) decide(e Environment, m *memory, d desired, record plan.Record) (plan.Plan, bool) {
	seen := r.observe(e, d.set, record)
	return plan.Make(r.input(e, m, d, seen, record)), !syncing(seen)
}

// kinds returns all kinds that have to be watched: those of Git and of the agent, and those ever applied.
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
	return r.Watches.Observe(live.Query{
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

// isUnreadable says whether a record is there and cannot be read: then there is none.
func isUnreadable(err error) bool {
	_, unreadable := errors.AsType[*records.UnreadableError](err)
	return unreadable
}

// syncing says whether something is about to be known that is not known yet.
func syncing(o observed.State) bool {
	for _, u := range o.Unknown {
		if u.State == observed.Syncing {
			return true
		}
	}
	return false
}

func (r *Reconciler) input(e Environment, m *memory, d desired, o observed.State, record plan.Record) plan.Input {
	in := plan.Input{
		Name:         e.Name,
		Environment:  e.ID,
		Prover:       r.prover(),
		Within:       e.within(),
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
		Retry:        m.again,
		Confirmation: e.Confirmation,
		Origin:       e.Path + " of " + e.URL,
	}
	r.handover(e, m, d, &in)
	return in
}

// act stores the plan's record and then carries out the steps that are ready. It returns the record
// with what the steps have left behind.
func (r *Reconciler) act(ctx context.Context, e Environment, p plan.Plan, before plan.Record) ([]apply.Result, plan.Record, error) {
	record, ready := p.Record.Clone(), p.Ready()
	if len(ready) == 0 {
		return nil, record, nil
	}
	if record.Protects(before) {
		if err := r.Records.Save(ctx, e.Name, record); err != nil {
			return nil, before, fmt.Errorf("storing the record: %w", err)
		}
	}
	results := r.Applier.Run(ctx, r.target(e), ready)
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

// absorb brings what a write for an environment returned into what is known of the cluster.
func (r *Reconciler) absorb(e Environment, result apply.Result) {
	switch {
	case result.Live != nil:
		r.Watches.Wrote(*result.Live)
	case result.Err == nil && result.Step.Live != nil:
		r.Watches.Deleted(result.Step.Key, result.Step.Live.UID, e.ID)
	}
}
