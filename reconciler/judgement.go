package reconciler

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// passed is what a pass did in addition to planning.
type passed struct {
	results []apply.Result
	fights  int
	// lost says that there was no record of what had been applied.
	lost bool
	// unchecked says which images could not be checked before the commit was applied.
	unchecked []string
	// why says why another commit than the desired one was judged, or none; nil if the desired one was judged.
	why error
	// rejected is what is known to be wrong with the commit that should run.
	rejected rejection
	now      time.Time
	err      error
}

// judged returns the outcome of a pass that made a plan.
func judged(e Environment, d desired, p plan.Plan, did passed) Outcome {
	j := Judged{
		Commit:       e.Commit,
		About:        d.about,
		State:        p.State,
		Message:      p.Message,
		Objects:      objects(p, d.warnings()),
		Sync:         p.Record.Sync,
		Rendered:     d.rendered,
		Fights:       did.fights,
		Unchecked:    did.unchecked,
		RecordLost:   did.lost,
		Confirmation: e.Confirmation,
		Mask:         d.mask,
	}
	if p.Applied {
		j.AppliedCommit = d.commit
	}
	if p.State == plan.Settled {
		j.HealthyCommit = d.commit
	}
	o := Outcome{Results: did.results, Again: len(p.Ready()) > 0 && did.err == nil, Deadline: p.Deadline, Err: did.err}
	return o.because(e, j, did)
}

// unplanned returns the outcome of a pass without a plan. It could read neither the commit that should run nor what was
// applied before.
func unplanned(e Environment, did passed) Outcome {
	return Outcome{Err: did.err}.because(e, Judged{Commit: e.Commit}, did)
}

// because completes an outcome with the reason why the commit that should run was not judged.
func (o Outcome) because(e Environment, j Judged, did passed) Outcome {
	why := did.why
	rendering, isRendering := errors.AsType[*renderingError](why)
	awaiting, isAwaiting := errors.AsType[*awaitingError](why)
	_, rolledBack := errors.AsType[*rolledBackError](why)
	switch {
	case why == nil:
	case isRendering:
		meanwhile := ""
		if j.Objects != nil && j.Objects.Total > 0 {
			meanwhile = separated(j.Message)
		}
		j.CommitState, j.State, j.Message, j.About = Rendering, plan.Going, rendering.Error()+meanwhile, CommitInfo{}
		j.RenderingSince = rendering.since
		if at := rendering.since.Add(renderQuiet); did.now.Before(at) {
			j.Premature, o.Deadline = true, earlier(o.Deadline, at)
		}
		if j.Objects == nil && e.Applied == e.Commit { // the agent just started, and nothing is new
			j.Premature = true
		}
	case temporary(why): // no other condition shows that a remote key does not answer
		o.Err = errors.Join(o.Err, why)
		j.CommitState, j.State, j.Message, j.About = Unavailable, plan.Waiting, told(why)+separated(j.Message), CommitInfo{}
	case passes(why) && j.Objects == nil:
		return Outcome{Finding: NotJudged{}, Err: why}
	case passes(why):
		o.Err = errors.Join(o.Err, why)
		j.CommitState, j.About = Unavailable, CommitInfo{}
	case isAwaiting:
		o = o.awaiting(&j, awaiting, did)
	case rolledBack:
		j.CommitState, j.Message, j.About = RolledBack, why.Error()+separated(j.Message), did.rejected.about
	default:
		j.CommitState, j.State, j.Message, j.About = Rejected, plan.Failed, told(why), did.rejected.about
		j.AppliedCommit, j.HealthyCommit = "", ""
		if refused, ok := errors.AsType[*refusedError](why); ok && j.Objects != nil {
			j.Objects.Unhealthy = slices.Concat(refused.Problems, j.Objects.Unhealthy)
		}
		o.Deadline = earlier(o.Deadline, did.rejected.until)
	}
	o.Finding = j
	return o
}

// tornDown returns the outcome of a step of a teardown.
func tornDown(e Environment, p plan.Plan, results []apply.Result, err error) Outcome {
	t := TornDown{State: p.State, Message: p.Message, Gone: p.State == plan.Settled && err == nil, Warnings: p.Warnings}
	if len(p.Record.LastJobs) > 0 { // nothing else waits for these requests
		t.Confirmation, t.Retry = e.Confirmation, e.Retry
	}
	for _, s := range p.Steps {
		if !s.Acts() {
			t.Left = append(t.Left, Problem{Key: s.Key, Health: s.Trouble(), Blocked: s.Blocked != ""})
		}
	}
	return Outcome{Finding: t, Results: results, Again: len(p.Ready()) > 0 && err == nil, Deadline: p.Deadline, Err: err}
}

// passes reports whether an error may be temporary, so that the pass has to be repeated.
func passes(err error) bool {
	_, ok := errors.AsType[*unavailable](err)
	return ok
}

// earlier returns the earlier of two times. A zero time means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// told returns an error in one line. Problems that are found together have a line each, and kubectl shows only the
// first line.
func told(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func separated(message string) string {
	if message == "" {
		return ""
	}
	return "; meanwhile: " + message
}

// objects counts and names the objects of a plan; warnings are those about Git.
func objects(p plan.Plan, warnings []string) *Objects {
	o := &Objects{
		Guarded:  p.Guarded,
		Jobs:     jobs(p.Record),
		LastJobs: slices.SortedFunc(maps.Keys(p.Record.LastJobs), manifest.Key.Compare),
		Warnings: slices.Concat(p.Warnings, warnings),
	}
	for _, s := range p.Steps {
		if s.Object == nil {
			continue
		}
		if !manifest.IsOwn(s.Key) { // these are not in Git
			o.Total++
			if s.Healthy() {
				o.Healthy++
			}
		}
		if s.Healthy() {
			continue
		}
		problem := Problem{Key: s.Key, Health: s.Trouble(), Blocked: s.Failure == "" && s.Blocked != "", Beside: s.Beside()}
		if s.Live != nil && problem.Health.Status == health.Failed {
			problem.Log = s.Live.Blamed
		}
		o.Unhealthy = append(o.Unhealthy, problem)
	}
	slices.SortStableFunc(o.Unhealthy, func(a, b Problem) int { return cmp.Compare(a.rank(), b.rank()) })
	return o
}

// rank sorts causes of trouble before their effects.
func (p Problem) rank() int {
	switch {
	case p.Health.Status == health.Failed:
		return 0
	case !p.Blocked:
		return 1
	}
	return 2
}

func jobs(r plan.Record) []Job {
	list := make([]Job, 0, len(r.Jobs))
	for key, run := range r.Jobs {
		list = append(list, Job{Key: key, JobRecord: run})
	}
	slices.SortFunc(list, func(a, b Job) int { return a.Key.Compare(b.Key) })
	return list
}
