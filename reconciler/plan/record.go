package plan

import (
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Record is what cannot be seen in the cluster. It is stored before the deeds that it protects;
// without it everything is applied once more, and what only it knew is gone.
type Record struct {
	// Sync is the newest attempt to make the environment what Git says.
	Sync Sync `json:"sync,omitzero"`
	// Rejected is the input that did not become healthy, and was taken back.
	Rejected Rejected `json:"rejected,omitzero"`
	// Applied has what our last write of every object left.
	Applied map[manifest.Key]Applied `json:"applied,omitempty"`
	// Jobs has the newest run of every Job.
	Jobs map[manifest.Key]JobRecord `json:"jobs,omitempty"`
	// Ran are the runs that succeeded, the newest last: going back to an earlier commit repeats none of them.
	Ran []Run `json:"ran,omitempty"`
	// Head is the digest of the newest input that no person chose by a pin.
	Head string `json:"head,omitempty"`
	// LastJobs are those that run when the environment goes.
	LastJobs map[manifest.Key]LastJob `json:"lastJobs,omitempty"`
	// Brake is what a person has to confirm, or has confirmed.
	Brake Brake `json:"brake,omitzero"`
	// Namespace is the environment's own one at the last pass.
	Namespace string `json:"namespace,omitempty"`
	// Origin is where the manifests were read when all was last as they say.
	Origin string `json:"origin,omitempty"`
	// Warnings has what the API server warned of when the objects were last written.
	Warnings map[manifest.Key]string `json:"warnings,omitempty"`
	// Kinds are all that were ever applied, so that a restarted agent knows what to watch.
	Kinds []schema.GroupVersionKind `json:"kinds,omitempty"`
}

// Applied is what our last write of an object left.
type Applied struct {
	// Digest is that of the content, Ownership the hash of the fields that were ours afterwards.
	Digest    string `json:"digest"`
	Ownership string `json:"ownership,omitempty"`
	// LeftTo is the autoscaler that the number of replicas was left to.
	LeftTo manifest.Key `json:"leftTo,omitzero"`
	// ScaledBy is who it was left to of whom Git knows nothing.
	ScaledBy string `json:"scaledBy,omitempty"`
	// Troubled is the input whose sync found the object with an older problem.
	Troubled string `json:"troubled,omitempty"`
}

// Sync is one attempt: from the first pass over an input until it has settled.
type Sync struct {
	// Digest is that of the input; Commit is where it was first seen.
	Digest  string    `json:"digest,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Started time.Time `json:"started,omitzero"`
	// Since is when the clock of the time-out began to run; zero while it stands, because all has settled
	// or because it waits for a user or another controller.
	Since time.Time `json:"since,omitzero"`
	// Settled says that the gate has been passed.
	Settled bool `json:"settled,omitempty"`
	// Degraded says that it was healthy and has not been since: it is again when nothing is open any more, and not
	// between two crashes.
	Degraded bool `json:"degraded,omitempty"`
	// Running says that some earlier input had settled: there is something to lose.
	Running bool `json:"running,omitempty"`
	// Pinned says that a person chose the commit. Returned says that the attempt goes back to a commit, or returns from
	// one: Jobs that ran before do not run again.
	Pinned   bool `json:"pinned,omitempty"`
	Returned bool `json:"returned,omitempty"`
	// Superseded is the attempt that had not settled when this one took its place.
	Superseded Superseded `json:"superseded,omitzero"`
}

// Superseded is an attempt that another took the place of.
type Superseded struct {
	Commit  string    `json:"commit"`
	Started time.Time `json:"started"`
}

// Rejected is an input that is not tried again until it changes or a user asks.
type Rejected struct {
	// Digest is that of the input; Commit is where it was; Message is why.
	Digest  string `json:"digest"`
	Commit  string `json:"commit"`
	Message string `json:"message"`
}

// JobState is how far a Job's run is.
type JobState string

// The states of a run.
const (
	JobIntended  JobState = "intended"  // about to be created
	JobCreated   JobState = "created"   // the server has it
	JobSucceeded JobState = "succeeded" // finished; never again with this digest
	JobFailed    JobState = "failed"    // finished; again with another digest, or when asked
	JobGivenUp   JobState = "given up"  // the environment goes without it
)

// JobRecord is the newest run of a Job.
type JobRecord struct {
	Digest string    `json:"digest"`
	State  JobState  `json:"state"`
	UID    types.UID `json:"uid,omitempty"`
	// Replaces is the run that has to be deleted before an intended one can be created.
	Replaces types.UID `json:"replaces,omitempty"`
	// FinishedAt and Message are set for runs that finished.
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	Message    string    `json:"message,omitempty"`
	// Spec is the digest of the spec as the API server completed it; of an intended run, of the one that succeeded before.
	Spec string `json:"spec,omitempty"`
	// Ever says that some run of this Job, with whatever digest, has succeeded.
	Ever bool `json:"ever,omitempty"`
}

// Clone returns a copy that shares nothing with the original.
func (r Record) Clone() Record {
	r.Applied = maps.Clone(r.Applied)
	r.Jobs = maps.Clone(r.Jobs)
	r.LastJobs = maps.Clone(r.LastJobs)
	r.Ran = slices.Clone(r.Ran)
	r.Warnings = maps.Clone(r.Warnings)
	r.Kinds = slices.Clone(r.Kinds)
	if r.Applied == nil {
		r.Applied = map[manifest.Key]Applied{}
	}
	if r.Jobs == nil {
		r.Jobs = map[manifest.Key]JobRecord{}
	}
	if r.LastJobs == nil {
		r.LastJobs = map[manifest.Key]LastJob{}
	}
	return r
}

// Equal reports whether storing one over the other would change nothing.
func (r Record) Equal(o Record) bool {
	return r.Sync == o.Sync && r.Rejected == o.Rejected && r.Brake == o.Brake && r.Origin == o.Origin && r.Namespace == o.Namespace && r.Head == o.Head && slices.Equal(r.Ran, o.Ran) && maps.Equal(r.Applied, o.Applied) && maps.Equal(r.Jobs, o.Jobs) && maps.Equal(r.LastJobs, o.LastJobs) && maps.Equal(r.Warnings, o.Warnings) && slices.Equal(r.Kinds, o.Kinds)
}

// Protects reports whether the record holds something that must be stored before the steps are taken:
// what is about to run, and which kinds are about to be there. The rest can follow afterwards.
func (r Record) Protects(stored Record) bool {
	return !maps.Equal(r.Jobs, stored.Jobs) || !slices.Equal(r.Kinds, stored.Kinds)
}

// forget forgets a namespace that is gone, with all that was in it: what Jobs did there is gone too. That they
// have run at all is not forgotten.
func (r *Record) forget(ns manifest.Key) {
	maps.DeleteFunc(r.Applied, func(k manifest.Key, _ Applied) bool { return k == ns || k.Namespace == ns.Name })
	for key, run := range r.Jobs {
		if key.Namespace == ns.Name {
			r.Jobs[key] = JobRecord{Ever: run.Ever}
		}
	}
	r.Ran = slices.DeleteFunc(r.Ran, func(ran Run) bool { return ran.Job.Namespace == ns.Name })
	r.Sync = Sync{}
}

// Warned notes what the API server warned of when it wrote an object; nothing, if it did not.
func (r *Record) Warned(key manifest.Key, warnings []string) {
	if len(warnings) == 0 {
		delete(r.Warnings, key)
		return
	}
	if r.Warnings == nil {
		r.Warnings = map[manifest.Key]string{}
	}
	r.Warnings[key] = strings.Join(warnings, "; ")
}

// Wrote notes that a step was carried out, and what the object has become (nil: it is gone).
func (r *Record) Wrote(s Step, now *observed.Object) {
	if s.Object != nil && s.Action != Correct && s.Action != Delete {
		r.Sync.Since = time.Time{} // a rollout has its time from the last write on
	}
	switch {
	case s.Action == Prepare:
		r.LastJobs[s.Key] = s.lastJob
	case s.Action == Delete || s.Object == nil:
		delete(r.Applied, s.Key)
	case manifest.IsJob(s.Key.GroupKind()):
		if job, ok := r.Jobs[s.Key]; ok && s.Action == Create && now != nil {
			job.State, job.UID = JobCreated, now.UID
			r.Jobs[s.Key] = job
		}
	case s.Action == Replace:
		delete(r.Applied, s.Key)
	case now != nil:
		r.Applied[s.Key] = Applied{Digest: s.Object.Digest, Ownership: now.Ownership, LeftTo: s.LeftTo, ScaledBy: s.ScaledBy}
	}
}
