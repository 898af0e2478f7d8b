package reconciler

import (
	"context"
	"errors"
	"time"

	"berth.dev/berth/reconciler/images"
	"berth.dev/berth/reconciler/plan"
)

// askQuiet is after what time users see that a registry has not answered yet.
const askQuiet = 2 * time.Second

// awaitingError says that a commit is not applied, because images that it brings are not there.
type awaitingError struct {
	plan.Gate
	since time.Time // the first question
}

// Error names the images.
func (e *awaitingError) Error() string {
	if e.State == plan.GateLate {
		return "nothing of this commit was applied: " + e.Message
	}
	return e.Message
}

// awaits reports whether a new input waits for images that it brings. What ran before is then chosen instead. If it
// does not wait any more, the record and the plan say so.
func (r *Reconciler) awaits(ctx context.Context, e Environment, m *memory, c *choice, record *plan.Record) bool {
	switch {
	case r.Images == nil || e.WaitForImages <= 0:
		r.askNothing(e)
		record.Images = plan.Images{}
		c.plan.Record.Images = record.Images
		return false
	case record.Images.Digest == c.digest && record.Images.Open:
		return false
	case e.Suspended: // the wait begins when it is resumed
		r.askNothing(e)
		record.Images = plan.Images{Known: record.Images.Known}
		c.plan.Record.Images = record.Images
		return false
	}
	m.asking = images.Query{
		Environment: e.ID, User: e.user(), Read: r.Cluster.ReadPull, Digest: c.digest, Set: images.PulledWith(c.set),
		Images: c.plan.Images(record.Images.Known), Urgent: e.Urgent,
	}
	m.named = c.set.Images()
	next, gate := r.askForImages(ctx, e, m, record.Images)
	if gate.State != plan.GateOpen {
		record.Images = next
	}
	if gate.State != plan.GateOpen || e.WithoutTurn {
		m.rejected = e.rejects(&awaitingError{Gate: gate, since: r.Now()}, c.about, time.Time{})
		return true
	}
	r.askNothing(e)
	if next.Retry { // by a user who did not want to wait
		next.Retry, m.retry.due = false, "after the wait"
		c.plan, c.sight = r.decide(e, m, c.desired, *record)
	}
	record.Images, c.plan.Record.Images, c.unchecked = next, next, next.Unchecked
	return false
}

// askForImages returns whether the images of the newest input are there, as far as that is known now, and how far the
// wait for them is.
func (r *Reconciler) askForImages(ctx context.Context, e Environment, m *memory, before plan.Images) (plan.Images, plan.Gate) {
	await := plan.Await{
		Name: e.Name, Digest: m.asking.Digest, Named: m.named, Now: r.Now(), Timeout: e.WaitForImages, Retry: m.retry.isDue(),
	}
	if len(m.asking.Images) > 0 {
		await.Answers = r.Images.Ask(ctx, m.asking)
	}
	after, gate := before.Await(await)
	r.Images.Until(e.ID, gate.Until)
	return after, gate
}

// lookForImages looks again whether the images are there that the newest commit waits for. If so, the commit is judged
// again, because the cluster may have changed since.
func (r *Reconciler) lookForImages(ctx context.Context, e Environment, m *memory, record *plan.Record) {
	awaiting, ok := errors.AsType[*awaitingError](m.rejected.err)
	if !ok {
		return
	}
	if m.rejected.of(e, r.Now()) == nil || e.Suspended {
		m.rejected = rejection{}
		return
	}
	next, gate := r.askForImages(ctx, e, m, record.Images)
	switch {
	case gate.State != plan.GateOpen:
		record.Images = next
	case !e.WithoutTurn:
		m.rejected, m.trial = rejection{}, trial{}
		return
	}
	m.rejected.err = &awaitingError{Gate: gate, since: awaiting.since}
}

// askNothing ends the questions for images.
func (r *Reconciler) askNothing(e Environment) {
	if r.Images != nil {
		r.Images.Forget(e.ID)
	}
}

// awaiting completes the outcome of a pass whose commit waits for images.
func (o Outcome) awaiting(j *Judged, why *awaitingError, did passed) Outcome {
	j.ForImages = why.State != plan.GateOpen
	if why.State == plan.GateLate {
		j.CommitState, j.State, j.Message, j.About = Rejected, plan.Failed, why.Error(), did.rejected.about
		j.AppliedCommit, j.HealthyCommit = "", ""
		return o
	}
	meanwhile := ""
	if j.State == plan.Failed || j.State == plan.Degraded {
		meanwhile = separated(j.Message)
	}
	j.CommitState, j.State, j.Message, j.About = Awaiting, plan.Waiting, why.Error()+meanwhile, did.rejected.about
	o.Deadline = earlier(o.Deadline, why.Deadline)
	switch at := why.since.Add(askQuiet); {
	case why.State == plan.GateOpen:
		j.CommitState, o.Again = Arrived, true
	case why.State == plan.GateAsking && did.now.Before(at):
		j.Premature, o.Deadline = true, earlier(o.Deadline, at)
	}
	return o
}
