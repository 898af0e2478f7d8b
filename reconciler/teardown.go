package reconciler

import (
	"context"
	"fmt"

	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// Teardown takes an environment one step towards its removal. Its finding is TornDown, unless nothing can be judged.
func (r *Reconciler) Teardown(ctx context.Context, e Environment) Outcome {
	record, err := r.load(ctx, e.Name)
	if err != nil && !isUnreadable(err) {
		return Outcome{Finding: NotJudged{}, Err: fmt.Errorf("reading the record: %w", err)}
	}
	m := r.memory(e.Name)
	m.asked(e)
	m.abandon()
	r.askNothing(e)
	m.reconsider(r.Cluster.Watches.Moved(e.ID), r.Now())
	if len(record.Kinds) == 0 && !r.ownsNamespace(e, record) {
		// Nothing was ever applied, or the record is lost. In both cases, the usual kinds are searched.
		record.Kinds = manifest.UsualKinds()
	}
	r.follow(e, manifest.Set{}, record)
	for _, id := range r.claims.set(e, desired{}) {
		r.Requeue(id) // so that it takes over what it wants
	}
	if syncing(r.observe(e, manifest.Set{}, record)) {
		return Outcome{Finding: NotJudged{}}
	}
	m.retry.begin(e.Retry)
	before := r.tearingDown(e, m, record)
	results, record, err := r.act(ctx, e, before, record)
	m.remember(r.Config, results)
	after := r.tearingDown(e, m, record)
	r.Cluster.Watches.Attend(e.ID, m.obstacles())
	if err == nil && len(record.LastJobs) > 0 { // everything else can be seen in the cluster
		err = r.save(ctx, e, after.Record)
	}
	after.Warnings = before.Warnings // a Job that was given up is reported only once
	if after.State == plan.Settled && err == nil {
		if err = r.Records.Delete(ctx, RecordName(e.Name, r.Cluster.Name)); err == nil {
			r.Forget(e)
		}
	}
	return tornDown(e, after, results, err)
}

// tearingDown makes the plan of a teardown from what is known about the cluster.
func (r *Reconciler) tearingDown(e Environment, m *memory, record plan.Record) plan.Plan {
	seen := r.observe(e, manifest.Set{}, record)
	return plan.Teardown(plan.Input{
		Name:         e.Name,
		Environment:  e.ID,
		Prover:       r.prover(),
		Within:       e.within(),
		Namespace:    e.namespace(),
		Own:          e.own(),
		Observed:     seen,
		Heirs:        r.claims.heirs(e, desired{}, seen),
		Record:       record,
		Refusals:     m.refusals,
		Now:          r.Now(),
		Retry:        m.retry.isDue(),
		Confirmation: e.Confirmation,
	})
}

// leave continues a removal although the environment is needed again. The removal cannot be undone any more. What its
// Jobs removed is gone, so everything has to be created again.
func (r *Reconciler) leave(ctx context.Context, e Environment) Outcome {
	o := r.Teardown(ctx, e)
	t, ok := o.Finding.(TornDown)
	switch {
	case !ok:
		return o
	case t.Gone: // the next pass creates everything
		return Outcome{Finding: NotJudged{}, Results: o.Results, Again: true}
	}
	o.Finding = Judged{
		Commit:       e.Commit,
		State:        plan.Waiting,
		Message:      "is re-created once its removal, which has begun, is done" + separated(t.Message),
		Objects:      &Objects{Unhealthy: t.Left, Warnings: t.Warnings},
		Confirmation: t.Confirmation,
	}
	return o
}

// ownsNamespace reports whether the environment's namespace is known to be its own, so that its deletion deletes
// everything in it.
func (r *Reconciler) ownsNamespace(e Environment, record plan.Record) bool {
	namespace := r.Cluster.Watches.Observe(live.Query{Environment: e.ID, Namespace: e.Namespace}).Namespace
	return namespace != nil && plan.Ours(*namespace, e.ID, record, r.prover())
}
