// Package plan decides what has to be done so that the cluster becomes what Git says. It compares values and returns a
// value. It knows no clock, context, client or logger.
package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Action is what to do with one object.
type Action string

// The actions. They are in the present tense, because a plan says what to do. Results use the past tense.
const (
	Keep    Action = "keep"    // as it should be, or deliberately left alone
	Create  Action = "create"  // the object does not exist
	Change  Action = "change"  // Git differs from what was applied
	Correct Action = "correct" // another client changed the applied fields
	Replace Action = "replace" // delete the object, so that a later pass can re-create it (Jobs)
	Delete  Action = "delete"  // the object left Git, or its time to live is over
	Prepare Action = "prepare" // validate and record a Job that runs when the environment is deleted
)

// Step is what the plan decided about one object.
type Step struct {
	Action Action
	Key    manifest.Key
	// Object is what Git says; nil for an object that is to be deleted.
	Object *manifest.Object
	// Live is what the cluster has; nil if the object does not exist.
	Live *observed.Object
	// Reason explains the action to users.
	Reason string
	// Blocked says what the step waits for. A step with an empty Blocked may act now.
	Blocked string
	// Failure says why the object cannot become what Git says without help; empty if it can.
	Failure string
	// Health is the object's health, as the gate counts it.
	Health health.Health
	// Stage orders the steps of one pass. All steps of a stage are carried out before the next stage begins.
	Stage int
	// Late says that an earlier attempt timed out. The step then comes after all others, whatever its stage.
	Late bool
	// Leave are the paths in Object that other field managers own and that are not applied. LeftTo is the autoscaler
	// that owns them, if Git has it.
	Leave  []string
	LeftTo manifest.Key
	// ScaledBy is the field manager that scales the object without Git knowing it. Seek says that the object was
	// scaled, and that its scaler has to be looked up.
	ScaledBy string
	Seek     bool
	// Share is a list that other controllers extend. The object is applied without it if the list in the cluster has
	// every entry of Git's.
	Share string
	// Hold are paths that Git no longer sets. They are applied as they are in the cluster, until another field manager
	// owns them.
	Hold []string
	// TakeOver are the fields that users have added and that the next apply removes; nil for none.
	TakeOver *observed.Additions
	// MayReplace says that Git allows Berth to delete and re-create the object, which is ours, if it cannot be changed.
	MayReplace bool
	// Ran is the digest of the completed spec of the previous run, if that succeeded; else empty. A Job whose completed
	// spec is the same does not run again. ran is the record of the previous run.
	Ran string
	ran JobRecord
	// lastJob is what Prepare records. Before is what was recorded until now; nil for nothing.
	lastJob LastJob
	Before  *manifest.Object
	// waits says who has to act before a blocked step can.
	waits blocker
	// beside says that nothing else waits for the step. What blocks it is a warning, and the step is no part of the
	// rollout.
	beside bool
	// inherited says that the object's problem is older than what Git says now.
	inherited bool
	// unseeable says that the API server does not serve the kind yet, because the plan itself brings it.
	unseeable bool
}

// blocker is who has to act before a blocked step can.
type blocker int

const (
	forItself blocker = iota // the step is retried, or its object becomes visible, after a while
	forStep                  // another step of the plan, which says why it is open
	forOthers                // something that no rollout brings about: a user, a running Job, a finalizer
)

// block blocks a step and says why.
func (s *Step) block(by blocker, why string) { s.Blocked, s.waits = why, by }

// Acts reports whether the step changes the cluster now.
func (s Step) Acts() bool { return s.Action != Keep && s.Blocked == "" }

// Healthy reports whether the object has settled, so that neither Berth nor the cluster has to act. An object that a user paused
// has settled. A suspended Job has not, because others depend on its work.
func (s Step) Healthy() bool {
	switch {
	case s.Failure != "":
		return false
	case s.Action == Delete:
		return s.Object != nil // a finished Job whose time to live is over
	case s.Blocked != "" || s.Action != Keep:
		return false
	}
	return s.settled()
}

// settled reports whether the object itself has nothing left to do.
func (s Step) settled() bool {
	return s.Health.Status == health.Healthy || s.Health.Status == health.Suspended && !manifest.IsJob(s.Key.GroupKind())
}

// Beside reports whether nothing else waits for the step, although it is blocked.
func (s Step) Beside() bool { return s.beside }

// Obstructed reports whether the step waits for something that no rollout brings about: a user, a running Job, a finalizer.
func (s Step) Obstructed() bool { return s.Blocked != "" && s.waits == forOthers }

// passes reports whether later steps need not wait for this one.
func (s Step) passes() bool { return s.beside || s.Healthy() }

// State is how far an environment is from what Git says.
type State string

// The states of an environment.
const (
	Settled  State = "Settled"  // the environment is what Git says, and healthy
	Going    State = "Going"    // steps are left, or the rollout is in progress
	Waiting  State = "Waiting"  // something has to finish first: a running Job, a namespace that terminates
	Degraded State = "Degraded" // the environment is what Git says and was healthy, but is no longer
	Failed   State = "Failed"   // the environment cannot become what Git says without help
)

// Plan is what to do for one environment, and how far it is.
type Plan struct {
	// Steps has one step per object, in the order in which they are carried out.
	Steps []Step
	State State
	// Message names the worst object and why; empty when Settled.
	Message string
	// Guarded are the objects whose deletion the deletion guard blocks, sorted.
	Guarded []manifest.Key
	// Warnings are for users; they block nothing.
	Warnings []string
	// Applied says that everything in Git has been written.
	Applied bool
	// Record must be stored before any step is carried out.
	Record Record
	// Deadline is when the plan may change although nothing happens; zero: never.
	Deadline time.Time
}

// Ready returns the steps that act now, in order.
func (p Plan) Ready() []Step {
	var ready []Step
	for _, s := range p.Steps {
		if s.Acts() {
			ready = append(ready, s)
		}
	}
	return ready
}

// Changes returns the steps that write something new, whatever they still wait for. It returns only steps that the API
// server can validate now. It omits objects that are being deleted, and kinds that the plan itself brings.
func (p Plan) Changes() []Step {
	var changes []Step
	for _, s := range p.Steps {
		writes := s.Action == Create || s.Action == Change || s.Action == Replace || s.Action == Prepare
		if writes && s.Object != nil && !s.unseeable && (s.Live == nil || !s.Live.Deleting) {
			changes = append(changes, s)
		}
	}
	return changes
}

// Impossible returns the steps that cannot succeed without help because of a change in Git, as far as the plan alone
// knows. A Job whose run failed is not among them, because its step was carried out.
func (p Plan) Impossible() []Step {
	var impossible []Step
	for _, s := range p.Steps {
		if s.Failure != "" && !s.inherited && p.Record.Jobs[s.Key].State != JobFailed {
			impossible = append(impossible, s)
		}
	}
	return impossible
}

// Input is what Make and Teardown decide on.
type Input struct {
	// Name is the name of the Environment. Commands in messages contain it.
	Name string
	// Environment is the value of manifest.LabelEnvironment that marks our objects. It counts only if Prover confirms
	// it.
	Environment string
	Prover      manifest.Prover
	// Within is the namespace that the environment is confined to. Of the objects outside it, only those in the record
	// are ours. Empty: it is not confined.
	Within string
	// Namespace is the environment's own namespace, as it should be.
	Namespace Namespace
	// Own are the objects that the agent itself keeps in the namespace, besides those of Git. They are sealed.
	Own []manifest.Object
	// Desired is what Git says. It is sealed and in order.
	Desired manifest.Set
	// Digest is the digest of everything that Desired was made from. Commit is the commit that it was read from.
	Digest, Commit string
	Observed       observed.State
	Record         Record
	// Heirs are the environments that want what this one has and no longer wants. Released are the objects that other
	// environments released to this one or left behind. Both share its namespace.
	Heirs    map[manifest.Key]string
	Released map[manifest.Key]bool
	// Undecided is an environment in the same namespace whose wanted objects are not known yet; empty: none.
	Undecided string
	// Refusals are the API server's answers to earlier attempts.
	Refusals map[manifest.Key]Refusal
	// Fights are the objects that another client changes as often as they are corrected.
	Fights map[manifest.Key]Fight
	// Now is the time of the pass. Timeout is how long a rollout may take.
	Now     time.Time
	Timeout time.Duration
	// Suspended keeps all steps from acting.
	Suspended bool
	// Pinned says that a user chose the commit. A return to it runs no Job again.
	Pinned bool
	// Past says that Desired is not the newest in Git, but what ran before. Its Jobs have run and do not run again.
	// Newer runs stay for the newest commit to find.
	Past bool
	// Incomplete says that Desired may lack objects that cannot be fetched now. Objects that it lacks are left alone.
	Incomplete bool
	// Retry runs failed Jobs again.
	Retry bool
	// Ahead decides about deletions as if everything else had settled, to show what a sync would delete in the end.
	Ahead bool
	// Confirmation is the id of the newest confirmation by which a user allows blocked deletions; empty: there is none.
	Confirmation string
	// Origin is where the manifests are read.
	Origin string
}

// Kinds returns the kinds of all desired objects.
func (in Input) Kinds() []schema.GroupVersionKind {
	return manifest.Set{Objects: slices.Concat(in.Own, in.Desired.Objects)}.Kinds()
}

// Namespace is the environment's own namespace.
type Namespace struct {
	// Object is what Berth creates when the namespace is missing.
	Object manifest.Object
	// Shared allows an existing namespace that belongs to no environment (literal entries). Other entries require a
	// namespace that Berth made for this environment.
	Shared bool
}

// Refusal is the API server's answer to an earlier attempt with the same content.
type Refusal struct {
	// Digest is the Content of the refused step.
	Digest  string
	Message string
	// Fatal says that a retry will hardly succeed without help. It is retried all the same, but rarely.
	Fatal bool
	// Immutable says that the object cannot be changed in place. Taken says that the existing object stays in its
	// place. Unanswered says that the request timed out.
	Immutable, Taken, Unanswered bool
	// Until is when to retry.
	Until time.Time
}

// Fight is an object that another client changes as often as it is corrected.
type Fight struct {
	// Rival is the name of that client, as far as it is known.
	Rival string
	// Until is when to correct it again. The fight is over if the object is unchanged until Calm.
	Until, Calm time.Time
}

// Trouble returns what keeps the object from being healthy.
func (s Step) Trouble() health.Health {
	switch {
	case s.Failure != "":
		return health.Health{Status: health.Failed, Message: s.place() + strings.Replace(s.Failure, s.Key.String()+": ", "", 1)}
	case s.Action == Keep && s.Health.Status != health.Healthy:
		return s.Health
	}
	return health.Health{Status: health.Progressing, Message: s.why()}
}

// Content identifies what the step is about to write or delete. A refusal holds as long as it is the same.
func (s Step) Content() string {
	switch {
	case s.Action == Delete && s.Live != nil:
		return "delete:" + string(s.Live.UID)
	case s.Object != nil:
		return s.Object.Digest
	}
	return ""
}

// why returns what a step that has not settled waits for.
func (s Step) why() string {
	if s.Action == Keep {
		return cmp.Or(s.Failure, s.Blocked, s.Health.Message, s.Reason)
	}
	return cmp.Or(s.Failure, s.Blocked, s.Reason)
}
