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
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// Outcome is what has come of a pass.
type Outcome struct {
	Environment string
	// Commit is the one that should run.
	Commit string
	// Quiet says that nothing could be judged, and nothing is to be reported.
	Quiet bool
	// State and Message say how far the environment is, and what is worst.
	State   plan.State
	Message string
	// Rejected says that Commit could not be rendered, or would be refused: what runs is kept, and State is
	// Failed; or Waiting, if that may pass by itself.
	Rejected bool
	// Rendering says that Commit is still being rendered, and that what people asked for is not done yet.
	Rendering bool
	// RolledBack says that Commit did not become healthy, and that the last healthy commit is applied in its
	// place: how far that is, State says.
	RolledBack bool
	// AppliedCommit and HealthyCommit are set when the pass found that Commit, or what it says, has been
	// fully written, and has passed the gate.
	AppliedCommit, HealthyCommit string
	// About describes Commit, as far as it could be read.
	About CommitInfo
	// Total and Healthy count the objects that Git says.
	Total, Healthy int
	// Unhealthy are those that are not, the worst first.
	Unhealthy []Problem
	// ShowLogs says that those who read the status may read logs too; Mask takes the values of Secrets out
	// of them.
	ShowLogs bool
	Mask     func(string) string
	// Jobs are the newest runs, by name.
	Jobs []Job
	// LastJobs are those that run when the environment goes.
	LastJobs []manifest.Key
	// Results are what was done.
	Results []apply.Result
	// Fights is how many objects turned out to be changed by somebody else again and again.
	Fights int
	// RecordLost says that the record of what had been applied was gone or could not be read, so that
	// everything was applied once more, and that Jobs whose runs nobody else knows of may run again.
	RecordLost bool
	// Warnings are for people; they stop nothing.
	Warnings []string
	// Confirmation and Retry are the requests that the pass has used up; empty: none.
	Confirmation, Retry string
	// Sync is the newest attempt.
	Sync plan.Sync
	// Life says where the environment stands between the first push to its branch and its end.
	Life Life
	// Link is the environment's address for people.
	Link string
	// Suspended says that somebody wants the cluster left as it is.
	Suspended bool
	// Deleting says that the environment is being taken down, Gone that nothing is left of it.
	Deleting, Gone bool
	// Again asks for another pass at once, Deadline for one at a time.
	Again    bool
	Deadline time.Time
	// Err is trouble with the agent's own means, such as storing the record; the pass is to be repeated.
	Err error
}

// CommitInfo is what people recognize a commit by. Author and Subject are one printable line each.
type CommitInfo struct {
	Time            time.Time
	Author, Subject string
}

// Life is where an environment stands between the first push to its branch and its end. A pass knows
// nothing of it.
type Life struct {
	Stage Stage
	// Activity stands for what pushes and people last did, at LastActivity.
	Activity     string
	LastActivity time.Time
	// ExpiresAt is when the namespace goes if nothing happens until then; zero: never.
	ExpiresAt time.Time
	// ExpiresSoon, Moved and BranchGone are for people, and empty where they do not apply.
	ExpiresSoon, Moved, BranchGone string
}

// Stage is a part of an environment's life.
type Stage string

// The stages of an environment's life beside being torn down.
const (
	Living   Stage = ""         // it is what Git says, or is on its way there
	Queued   Stage = "Queued"   // others go first
	Held     Stage = "Held"     // a person has to say what becomes of it
	Expiring Stage = "Expiring" // nobody needs it any more, and its namespace goes
	Expired  Stage = "Expired"  // its namespace is gone
)

// Syncing says whether the environment is on its way to what Git says.
func (o Outcome) Syncing() bool { return o.State == plan.Going || o.Again }

// Problem is one object that is not healthy.
type Problem struct {
	Key     manifest.Key
	Health  health.Health
	Blocked bool // it waits for others
	// Beside says that nothing else waits for it, and that it keeps the environment from being healthy as little.
	Beside bool
	// Log is whose log may say why; nil: nobody's.
	Log *observed.Container
}

// Job is the newest run of a Job.
type Job struct {
	Key manifest.Key
	plan.JobRecord
}

// passed is what a pass did besides planning.
type passed struct {
	results  []apply.Result
	fights   int
	rejected error
	// lost says that there was no record of what had been applied.
	lost bool
	// look is when to look again at what is rejected.
	look time.Time
	// about describes the commit that was rejected.
	about CommitInfo
	err   error
}

// failed is the outcome of a pass over an environment of which nothing is known but the error. One that
// may pass by itself is not reported: what was known of the environment still holds.
func failed(e Environment, err error) Outcome {
	o := Outcome{Environment: e.Name, Commit: e.Commit, State: plan.Failed, Message: told(err), Rejected: true}
	if passes(err) {
		o.Quiet, o.Err = !temporary(err), err
	}
	if temporary(err) {
		o.State = plan.Waiting // nobody else tells of a remote key that does not answer
	}
	return o
}

// passes says whether an error may pass by itself, so that the pass is to be repeated.
func passes(err error) bool {
	_, ok := errors.AsType[*unavailable](err)
	return ok
}

func outcome(e Environment, d desired, p plan.Plan, did passed) Outcome {
	o := Outcome{
		Environment:  e.Name,
		Commit:       e.Commit,
		State:        p.State,
		Message:      p.Message,
		About:        d.about,
		Results:      did.results,
		Fights:       did.fights,
		Warnings:     slices.Concat(p.Warnings, d.warnings()),
		Sync:         p.Record.Sync,
		Jobs:         jobs(p.Record),
		LastJobs:     slices.SortedFunc(maps.Keys(p.Record.LastJobs), manifest.Key.Compare),
		Mask:         d.mask,
		RecordLost:   did.lost,
		Confirmation: e.Confirmation,
		Suspended:    e.Suspended,
		Again:        len(p.Ready()) > 0 && did.err == nil,
		Deadline:     p.Deadline,
		Err:          did.err,
	}
	o.count(p)
	if p.Applied {
		o.AppliedCommit = d.commit
	}
	if p.State == plan.Settled {
		o.HealthyCommit = d.commit
	}
	o.reject(did)
	return o
}

// reject adds why it is not the newest commit that was judged.
func (o *Outcome) reject(did passed) {
	why := did.rejected
	_, rolledBack := errors.AsType[*rolledBackError](why)
	switch {
	case why == nil || isRendering(why): // see Outcome.rendering
	case temporary(why):
		o.Err = errors.Join(o.Err, why)
		o.State, o.Message, o.About = plan.Waiting, told(why)+separated(o.Message), CommitInfo{}
	case passes(why):
		o.Err, o.About = errors.Join(o.Err, why), CommitInfo{}
	case rolledBack:
		o.RolledBack, o.About = true, did.about
		o.Message = why.Error() + separated(o.Message)
	default:
		o.Rejected, o.State, o.Message = true, plan.Failed, told(why)
		o.AppliedCommit, o.HealthyCommit, o.About = "", "", did.about
		if refused, ok := errors.AsType[*refusedError](why); ok {
			o.Unhealthy = append(slices.Clone(refused.Problems), o.Unhealthy...)
		}
		if o.Deadline.IsZero() || !did.look.IsZero() && did.look.Before(o.Deadline) {
			o.Deadline = did.look
		}
	}
}

// told is an error in one line: of problems that are found together each has its own, of which kubectl shows the first.
func told(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func separated(message string) string {
	if message == "" {
		return ""
	}
	return "; meanwhile: " + message
}

func (o *Outcome) count(p plan.Plan) {
	for _, s := range p.Steps {
		if s.Object == nil {
			continue
		}
		if !manifest.IsOwn(s.Key) { // which Git does not say
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
}

// rank puts what causes trouble before what suffers from it.
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

func tornDown(e Environment, p plan.Plan, results []apply.Result, err error) Outcome {
	o := Outcome{
		Environment: e.Name,
		Commit:      e.Commit,
		State:       p.State,
		Message:     p.Message,
		Results:     results,
		Deadline:    p.Deadline,
		Again:       len(p.Ready()) > 0 && err == nil,
		Deleting:    true,
		Warnings:    p.Warnings,
		Gone:        p.State == plan.Settled && err == nil,
		Err:         err,
	}
	if len(p.Record.LastJobs) > 0 { // nothing else waits for them
		o.Confirmation, o.Retry = e.Confirmation, e.Retry
	}
	for _, s := range p.Steps {
		if !s.Acts() {
			o.Unhealthy = append(o.Unhealthy, Problem{Key: s.Key, Health: s.Trouble(), Blocked: s.Blocked != ""})
		}
	}
	return o
}
