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

// Record is what cannot be seen in the cluster. It is stored before the writes that it protects. If it is lost,
// everything is applied once more, and what only the record knew is lost.
type Record struct {
	// Sync is the newest attempt to make the environment what Git says.
	Sync Sync `json:"sync,omitzero"`
	// Rejected is the input that did not become healthy and was rolled back.
	Rejected Rejected `json:"rejected,omitzero"`
	// Applied has, by object, the result of our last write.
	Applied map[manifest.Key]Applied `json:"applied,omitempty"`
	// Jobs has the newest run of every Job.
	Jobs map[manifest.Key]JobRecord `json:"jobs,omitempty"`
	// Ran are the runs that succeeded, the newest last. A return to an earlier commit repeats none of them.
	Ran []Run `json:"ran,omitempty"`
	// Head is the digest of the newest input that no user chose by a pin.
	Head string `json:"head,omitempty"`
	// LastJobs are the Jobs that run when the environment is deleted.
	LastJobs map[manifest.Key]LastJob `json:"lastJobs,omitempty"`
	// Guard is what a user has to confirm, or has confirmed.
	Guard Guard `json:"guard,omitzero"`
	// Images says how far the wait for the images of the newest input is.
	Images Images `json:"images,omitzero"`
	// Namespace is the environment's own namespace at the last pass.
	Namespace string `json:"namespace,omitempty"`
	// Origin is where the manifests were read when the environment last settled.
	Origin string `json:"origin,omitempty"`
	// Warnings has, by object, the API server's warnings at the last write.
	Warnings map[manifest.Key]string `json:"warnings,omitempty"`
	// Cluster is the identity of the cluster that all this is about; empty for the agent's own.
	Cluster types.UID `json:"cluster,omitempty"`
	// Kinds are all kinds that were ever applied, so that a restarted agent knows what to watch.
	Kinds []schema.GroupVersionKind `json:"kinds,omitempty"`
}

// Applied is the result of our last write of an object.
type Applied struct {
	// Digest is the digest of the content. Ownership is the hash of the fields that were ours afterwards.
	Digest    string `json:"digest"`
	Ownership string `json:"ownership,omitempty"`
	// LeftTo is the autoscaler that owns the number of replicas.
	LeftTo manifest.Key `json:"leftTo,omitzero"`
	// ScaledBy is the field manager that owns the number of replicas without Git knowing it.
	ScaledBy string `json:"scaledBy,omitempty"`
	// Troubled is the input whose sync found the object with an older problem.
	Troubled string `json:"troubled,omitempty"`
}

// Sync is one attempt. It lasts from the first pass with an input until that has settled.
type Sync struct {
	// Digest is the digest of the input. Commit is where it was first seen.
	Digest  string    `json:"digest,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Started time.Time `json:"started,omitzero"`
	// Since is when the clock of the timeout started. It is zero while the clock stands still, because everything has
	// settled or because the sync waits for a user or another controller.
	Since time.Time `json:"since,omitzero"`
	// Settled says that the gate has been passed.
	Settled bool `json:"settled,omitempty"`
	// Degraded says that the environment was healthy and has not been since. It ends when nothing is open any more, and
	// not between two crashes.
	Degraded bool `json:"degraded,omitempty"`
	// Running says that an earlier input had settled, so that there is something to lose.
	Running bool `json:"running,omitempty"`
	// Pinned says that a user chose the commit. Returned says that the attempt returns to a commit, or from one. Jobs
	// that ran before then do not run again.
	Pinned   bool `json:"pinned,omitempty"`
	Returned bool `json:"returned,omitempty"`
	// Superseded is the attempt that this one replaced before it had settled.
	Superseded Superseded `json:"superseded,omitzero"`
}

// Superseded is an attempt that another one replaced.
type Superseded struct {
	Commit  string    `json:"commit"`
	Started time.Time `json:"started"`
}

// Rejected is an input that is not retried until it changes or a user asks.
type Rejected struct {
	// Digest is the digest of the input. Commit is where it was read. Message is why it was rejected.
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
	JobSucceeded JobState = "succeeded" // finished; does not run again with this digest
	JobFailed    JobState = "failed"    // finished; runs again with another digest, or on a retry
	JobGivenUp   JobState = "given up"  // the environment is deleted without it
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
	// Spec is the digest of the spec as the API server completed it. For an intended run, it is the digest of the
	// previous run that succeeded.
	Spec string `json:"spec,omitempty"`
	// Ever says that some run of this Job has succeeded, with whatever digest.
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
	r.Images.Known, r.Images.Unchecked = slices.Clone(r.Images.Known), slices.Clone(r.Images.Unchecked)
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

// Equal reports whether two records are equal, so that storing one over the other would change nothing.
func (r Record) Equal(o Record) bool {
	return r.Sync == o.Sync && r.Images.equal(o.Images) && r.Rejected == o.Rejected && r.Guard == o.Guard && r.Origin == o.Origin && r.Namespace == o.Namespace && r.Cluster == o.Cluster && r.Head == o.Head && slices.Equal(r.Ran, o.Ran) && maps.Equal(r.Applied, o.Applied) && maps.Equal(r.Jobs, o.Jobs) && maps.Equal(r.LastJobs, o.LastJobs) && maps.Equal(r.Warnings, o.Warnings) && slices.Equal(r.Kinds, o.Kinds)
}

// Protects reports whether the record must be stored before the steps are carried out, because it has new runs or
// kinds. The rest can be stored afterwards.
func (r Record) Protects(stored Record) bool {
	return !maps.Equal(r.Jobs, stored.Jobs) || !slices.Equal(r.Kinds, stored.Kinds)
}

// forget forgets a namespace that is gone, and everything in it, with the effects of its Jobs. It does not forget that
// the Jobs have run at all.
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

// Warned records the API server's warnings about a write of an object, if any.
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

// Wrote records that a step was carried out, and the object afterwards (nil: it is gone).
func (r *Record) Wrote(s Step, now *observed.Object) {
	if s.Object != nil && s.Action != Correct && s.Action != Delete {
		r.Sync.Since = time.Time{} // the clock of a rollout starts at the last write
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
