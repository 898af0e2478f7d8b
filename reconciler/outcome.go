package reconciler

import (
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// Outcome is the result of a pass, or of a step of a teardown.
type Outcome struct {
	// Finding is NotJudged, Judged or TornDown; nil if no pass was made.
	Finding Finding
	// Results are the results of the steps that were carried out.
	Results []apply.Result
	// Again requests another pass at once. Deadline requests one at a time.
	Again    bool
	Deadline time.Time
	// Err is a failure of the agent's own means, such as storing the record. The pass has to be repeated.
	Err error
}

// Finding is what a pass found out about an environment.
type Finding interface{ finding() }

// NotJudged says that a pass could not judge the environment. Its last report still holds.
type NotJudged struct{}

// Judged says how far an environment is from what Git says.
type Judged struct {
	// Commit is the commit that should run. CommitState is its state. About describes it, as far as it could be read.
	Commit      string
	CommitState CommitState
	About       CommitInfo
	// ForImages says that the commit waits for images, or has waited in vain.
	ForImages bool
	// State and Message say how far the environment is, and what is worst.
	State   plan.State
	Message string
	// Premature says that a render is about to end, and that the next pass has more to report. Nothing is reported yet.
	Premature bool
	// AppliedCommit is the judged commit if everything in it is written. HealthyCommit is the judged commit if the
	// environment is settled.
	AppliedCommit, HealthyCommit string
	// Objects are the objects in Git; nil if nothing is known about them.
	Objects *Objects
	// Sync is the newest attempt. Rendered is how long its render took.
	Sync     plan.Sync
	Rendered time.Duration
	// RenderingSince is when the render of Commit began, while it goes on.
	RenderingSince time.Time
	// Fights is how many objects turned out to be changed by another client again and again.
	Fights int
	// Unchecked says which images of the commit could not be checked before it was applied. It is set once per input.
	Unchecked []string
	// RecordLost says that the record was gone or unreadable. Everything was therefore applied once more. Jobs may run
	// again if nothing else shows that they ran.
	RecordLost bool
	// Confirmation is the request that the pass used up; empty: none.
	Confirmation string
	// Mask removes the values of Secrets from a log.
	Mask func(string) string
}

// CommitState is the state of the commit that should run.
type CommitState string

// The states of a commit. In all but the first, what ran before was judged instead.
const (
	Current     CommitState = ""            // it was judged
	Rendering   CommitState = "rendering"   // it is still being rendered, and users' requests are not handled yet
	Unavailable CommitState = "unavailable" // it, or a key for it, cannot be read now
	Awaiting    CommitState = "awaiting"    // its images are not there yet
	Arrived     CommitState = "arrived"     // its images are there, and its sync may begin once it has a turn
	Rejected    CommitState = "rejected"    // it cannot be rendered, or the cluster would refuse it
	RolledBack  CommitState = "rolled back" // it did not become healthy, and the last healthy commit is applied
)

// TornDown says how far the removal of an environment is.
type TornDown struct {
	// State and Message say how far it is, and what is worst.
	State   plan.State
	Message string
	// Gone says that nothing is left.
	Gone bool
	// Left are the objects that are not gone, with the reasons.
	Left []Problem
	// Warnings name the Jobs that should have run before the deletion, and could not.
	Warnings []string
	// Confirmation and Retry are the requests that the step used up; empty: none.
	Confirmation, Retry string
}

func (NotJudged) finding() {}
func (Judged) finding()    {}
func (TornDown) finding()  {}

// State returns how far the environment is; empty if that is not known.
func (o Outcome) State() plan.State {
	switch f := o.Finding.(type) {
	case Judged:
		return f.State
	case TornDown:
		return f.State
	}
	return ""
}

// Quiet reports whether the pass has nothing to report except its results.
func (o Outcome) Quiet() bool {
	switch f := o.Finding.(type) {
	case NotJudged:
		return true
	case Judged:
		return f.Premature
	}
	return false
}

// Syncing reports whether the environment is on its way to what Git says.
func (o Outcome) Syncing() bool { return o.State() == plan.Going || o.Again }

// CommitInfo is what users recognize a commit by. Author and Subject are one printable line each.
type CommitInfo struct {
	Time            time.Time
	Author, Subject string
}

// Objects are the objects of an environment, as a pass judged them.
type Objects struct {
	// Total and Healthy count the objects in Git.
	Total, Healthy int
	// Unhealthy are the objects that are not healthy, the worst first.
	Unhealthy []Problem
	// Guarded are the objects that left Git, and whose deletion waits for a confirmation.
	Guarded []manifest.Key
	// Jobs are the newest runs, by name. LastJobs are the Jobs that run when the environment is deleted.
	Jobs     []Job
	LastJobs []manifest.Key
	// Warnings are for users; they block nothing.
	Warnings []string
}

// Problem is one object that is not healthy.
type Problem struct {
	Key     manifest.Key
	Health  health.Health
	Blocked bool // the object waits for others
	// Beside says that nothing else waits for the object, and that it does not keep the environment from being healthy.
	Beside bool
	// Log is the container whose log may explain it; nil: none is known.
	Log *observed.Container
}

// Job is the newest run of a Job.
type Job struct {
	Key manifest.Key
	plan.JobRecord
}
