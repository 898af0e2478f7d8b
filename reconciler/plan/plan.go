// Package plan decides what is to be done so that a cluster becomes what Git says: it compares
// values and returns a value, and knows no clock, context, client or logger.
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

// Action is what is to be done with one object.
type Action string

// The actions, in the present tense: a plan says what to do, a result what was done.
const (
	Keep    Action = "keep"    // as it should be, or deliberately left alone
	Create  Action = "create"  // it is not there
	Change  Action = "change"  // Git says otherwise than what was applied
	Correct Action = "correct" // another client changed the applied fields
	Replace Action = "replace" // delete it, so that a later pass can re-create it (Jobs)
	Delete  Action = "delete"  // it left Git, or its time is over
	Prepare Action = "prepare" // prove a Job valid that runs when the environment goes, and remember it
)

// Step is what the plan says of one object.
type Step struct {
	Action Action
	Key    manifest.Key
	// Object is what Git says; nil for what is to be deleted.
	Object *manifest.Object
	// Live is what the cluster has; nil for what is not there.
	Live *observed.Object
	// Reason says why, for people.
	Reason string
	// Blocked says what the step waits for; a step without it may act now.
	Blocked string
	// Failure says why the object cannot become what it should without help; empty if it can.
	Failure string
	// Health is the object's, as the gate counts it.
	Health health.Health
	// Stage orders the steps of one pass: all of a stage are carried out before the next begins.
	Stage int
	// Late says that an earlier try was not answered in time: it goes after the others, whatever its stage.
	Late bool
	// Leave are the paths in Object that others see to and that are not applied; LeftTo is the autoscaler
	// that does, if Git knows it.
	Leave  []string
	LeftTo manifest.Key
	// ScaledBy is who scales the object without Git knowing; Seek says that somebody has scaled it, and that it has to be
	// looked for who.
	ScaledBy string
	Seek     bool
	// Share is a list that others extend; the object is applied without it where the cluster's has all of it.
	Share string
	// Hold are paths that Git sets no more and that are applied as they are in the cluster, until somebody else
	// sees to them.
	Hold []string
	// TakeOver says what people have added and is to be removed with the next apply; nil for nothing.
	TakeOver *observed.Additions
	// MayReplace says that Git allows that the object, which is ours, is deleted and re-created if it cannot be changed.
	MayReplace bool
	// Ran is the digest of the completed spec of the Job that ran before and succeeded; empty for none. One whose spec is
	// the same, once the API server has completed it, does not run again: ran is its run.
	Ran string
	ran JobRecord
	// lastJob is what Prepare remembers, Before what was remembered until now; nil for nothing.
	lastJob LastJob
	Before  *manifest.Object
	// waits says for whom a blocked step does.
	waits blocker
	// beside says that what keeps the step from being done holds up nothing else: it is a warning, and no part of the
	// rollout.
	beside bool
	// inherited says that what is wrong with the object was so before Git said what it says now.
	inherited bool
	// unseeable says that the API server does not serve the kind yet, which the plan itself brings.
	unseeable bool
}

// blocker is who has to move before a blocked step can.
type blocker int

const (
	forItself blocker = iota // it is tried again, or can be seen, in a while
	forStep                  // another step of the plan, which says why
	forOthers                // what no rollout brings about: a person, a running Job, a finalizer
)

// block holds a step back.
func (s *Step) block(by blocker, why string) { s.Blocked, s.waits = why, by }

// Acts reports whether the step changes the cluster now.
func (s Step) Acts() bool { return s.Action != Keep && s.Blocked == "" }

// Healthy reports whether nothing has to be done, or to happen, for the object any more. What somebody
// paused on purpose has settled; a suspended Job has not, for others count on its work.
func (s Step) Healthy() bool {
	switch {
	case s.Failure != "":
		return false
	case s.Action == Delete:
		return s.Object != nil // a finished Job whose time is over
	case s.Blocked != "" || s.Action != Keep:
		return false
	}
	return s.settled()
}

// settled reports whether the object itself has nothing left to do.
func (s Step) settled() bool {
	return s.Health.Status == health.Healthy || s.Health.Status == health.Suspended && !manifest.IsJob(s.Key.GroupKind())
}

// Beside reports whether what keeps the step from being done holds up nothing else.
func (s Step) Beside() bool { return s.beside }

// passes reports whether what comes after the step need not wait for it.
func (s Step) passes() bool { return s.beside || s.Healthy() }

// State is how far an environment is from what Git says.
type State string

// The states of an environment.
const (
	Settled  State = "Settled"  // it is what Git says, and healthy
	Going    State = "Going"    // steps are to be taken, or the rollout is on its way
	Waiting  State = "Waiting"  // something has to finish first: a running Job, a namespace that ends
	Degraded State = "Degraded" // it is what Git says and was healthy, but is no longer
	Failed   State = "Failed"   // it cannot become what Git says without help
)

// Plan is the whole of the judgement over one environment.
type Plan struct {
	// Steps has one for every object, in the order in which they are taken.
	Steps []Step
	State State
	// Message names the worst object and why; empty when Settled.
	Message string
	// Warnings are for people; they stop nothing.
	Warnings []string
	// Applied says that all that Git says has been written.
	Applied bool
	// Record is what must be stored before any step is taken.
	Record Record
	// Deadline is when the plan may change without anything happening; zero: never.
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

// Changes returns the steps that write something new, whatever they still wait for, as far as the
// cluster can say today what it thinks of them: not what is being deleted, nor what is of a kind that the
// plan itself brings.
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

// Impossible returns the steps that cannot be taken without help, as the plan alone knows, because of what Git has come
// to say. A Job whose run failed is none: it was taken.
func (p Plan) Impossible() []Step {
	var impossible []Step
	for _, s := range p.Steps {
		if s.Failure != "" && !s.inherited && p.Record.Jobs[s.Key].State != JobFailed {
			impossible = append(impossible, s)
		}
	}
	return impossible
}

// Input is what a plan is made from.
type Input struct {
	// Name is the name of the Environment, for the commands in messages.
	Name string
	// Environment is the value of manifest.LabelEnvironment that says "ours", if Prover says so too.
	Environment string
	Prover      manifest.Prover
	// Within is the namespace that the environment is confined to: of what lies outside, only what the record has
	// is ours. Empty: it is not confined.
	Within string
	// Namespace is the environment's own, as it should be.
	Namespace Namespace
	// Own are the objects that the agent itself keeps in the namespace, beside those of Git; sealed.
	Own []manifest.Object
	// Desired is sealed and in order.
	Desired manifest.Set
	// Digest stands for all that Desired was made from; Commit is where it was read.
	Digest, Commit string
	Observed       observed.State
	Record         Record
	// Heirs are the environments that want what this one has and does not want any more, and Released says what others
	// let this one have, or have left behind. Both share its namespace.
	Heirs    map[manifest.Key]string
	Released map[manifest.Key]bool
	// Undecided is an environment of the same namespace of which it is not known yet what it wants; empty: none.
	Undecided string
	// Refusals are what the API server said to earlier tries.
	Refusals map[manifest.Key]Refusal
	// Fights are the objects that another client changes as often as they are corrected.
	Fights map[manifest.Key]Fight
	// Now is the time of the pass; Timeout how long a rollout may take.
	Now     time.Time
	Timeout time.Duration
	// Suspended keeps all steps from acting.
	Suspended bool
	// Pinned says that a person chose the commit: going back to it runs no Job again.
	Pinned bool
	// Past says that Desired is not the newest that Git says, but what ran before: its Jobs have run, and
	// are not run again; those that ran since are left for the newest to find.
	Past bool
	// Incomplete is set if Desired may lack objects that cannot be fetched now: other objects are left alone.
	Incomplete bool
	// Retry runs failed Jobs again.
	Retry bool
	// Confirmation is the newest by which a person lets go what the brake holds; empty: there is none.
	Confirmation string
	// Origin says where the manifests are read.
	Origin string
}

// Kinds returns the kinds of all objects that there should be.
func (in Input) Kinds() []schema.GroupVersionKind {
	return manifest.Set{Objects: slices.Concat(in.Own, in.Desired.Objects)}.Kinds()
}

// Namespace is the environment's own namespace.
type Namespace struct {
	// Object is what Berth makes when the namespace is missing.
	Object manifest.Object
	// Shared allows a namespace that is there already and is nobody's (literal entries); others insist
	// on one that Berth made for this environment.
	Shared bool
}

// Refusal is what the API server said to an earlier try with the same content.
type Refusal struct {
	// Digest is the Content of the step that was refused.
	Digest  string
	Message string
	// Fatal says that it will hardly pass without help; it is tried again all the same, but rarely.
	Fatal bool
	// Immutable says that the object cannot be changed in place; Taken that what is there stays in its place;
	// Unanswered that there was no answer in time.
	Immutable, Taken, Unanswered bool
	// Until is when to try again.
	Until time.Time
}

// Fight is an object that another client changes as often as it is corrected.
type Fight struct {
	// Rival names who that is, as far as it is known.
	Rival string
	// Until is when to correct it again. It is over if it is unchanged until Calm.
	Until, Calm time.Time
}

// Trouble says what keeps the object from being healthy.
func (s Step) Trouble() health.Health {
	switch {
	case s.Failure != "":
		return health.Health{Status: health.Failed, Message: s.place() + strings.Replace(s.Failure, s.Key.String()+": ", "", 1)}
	case s.Action == Keep && s.Health.Status != health.Healthy:
		return s.Health
	}
	return health.Health{Status: health.Progressing, Message: s.why()}
}

// Content stands for what the step is about to write or, for a deletion, for what it deletes: a refusal
// holds for as long as it is the same.
func (s Step) Content() string {
	switch {
	case s.Action == Delete && s.Live != nil:
		return "delete:" + string(s.Live.UID)
	case s.Object != nil:
		return s.Object.Digest
	}
	return ""
}

// why says what a step that has not settled waits for.
func (s Step) why() string {
	if s.Action == Keep {
		return cmp.Or(s.Failure, s.Blocked, s.Health.Message, s.Reason)
	}
	return cmp.Or(s.Failure, s.Blocked, s.Reason)
}
