package plan

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// failedRun fails a step whose run failed, and adds what a user can do.
func (m *maker) failedRun(s *Step, why string) {
	m.fail(s, fmt.Sprintf("%s; it runs again when it changes in Git, or on: berth retry %s", why, m.in.Name))
}

// job decides about a Job. A Job cannot be changed in place and must run once per change. The digest of its spec
// identifies it.
func (m *maker) job(s *Step) {
	how := annotation(s.Object, manifest.AnnotationJob)
	if how == onRemoval {
		m.prepare(s)
		return
	}
	s.Object = m.identified(s.Object)
	ran := m.lookAt(s)
	if how == once && ran.Ever {
		s.Reason, s.Health = "has run once, and does not run again", health.Health{Status: health.Healthy}
		m.timeToLive(s, ran)
		return
	}
	if m.hasRunBefore(s, ran) {
		m.stays(s)
		return
	}
	if m.in.Retry && ran.State == JobFailed {
		ran = JobRecord{Digest: ran.Digest, State: JobIntended, Replaces: uid(s.Live), Ever: ran.Ever}
		m.record.Jobs[s.Key] = ran
	}
	switch same := ran.Digest == s.Object.Digest; {
	case same && ran.State == JobSucceeded:
		s.Reason, s.Health = "has run", health.Health{Status: health.Healthy}
		m.timeToLive(s, ran)
	case same && ran.State == JobFailed:
		m.failedRun(s, ran.Message)
		m.timeToLive(s, ran)
	case same && ran.State == JobCreated && (s.Live == nil || s.Live.Deleting):
		ran.State, ran.Message = JobFailed, "was deleted by another client before it finished"
		m.record.Jobs[s.Key] = ran
		m.failedRun(s, ran.Message)
	case s.Live == nil:
		m.intend(s, Create, "is to run")
	case same && ran.State == JobCreated && s.Live.UID == ran.UID:
		s.Reason = "has not finished"
	default:
		m.replaceJob(s, ran)
	}
	m.marks(s, ran)
}

// identified adds the commit to the identity of a Job that runs with every commit.
func (m *maker) identified(o *manifest.Object) *manifest.Object {
	if annotation(o, manifest.AnnotationJob) != everyCommit {
		return o
	}
	withCommit := *o
	withCommit.Digest += "@" + m.in.Commit[:min(12, len(m.in.Commit))]
	return &withCommit
}

// lookAt updates the record of a Job from the cluster, and returns it.
func (m *maker) lookAt(s *Step) JobRecord {
	ran, live, wanted := m.record.Jobs[s.Key], s.Live, s.Object.Digest
	if ran.State == JobIntended && ran.Digest != wanted {
		ran = JobRecord{Ever: ran.Ever} // Git changed before the run began
	}
	if live == nil || live.Job == nil || live.UID == ran.Replaces || ran.State == JobSucceeded && ran.Digest == wanted {
		return ran
	}
	digest := m.identity(s, ran)
	if digest == "" || digest != wanted && digest != ran.Digest && ran.Digest != "" {
		return ran // not ours, or older than the run that the record knows
	}
	seen := JobRecord{Digest: digest, State: JobCreated, UID: live.UID, Spec: live.Job.Spec, Ever: ran.Ever}
	if live.Job.Finished {
		seen.State, seen.FinishedAt, seen.Message = JobFailed, live.Job.FinishedAt.UTC(), live.Health.Message
	}
	switch {
	case live.Job.Succeeded:
		seen.State, seen.Message, seen.Ever = JobSucceeded, "", true
	case live.Deleting && ran.State == JobFailed && ran.UID == live.UID:
		seen.Message = ran.Message // the Job itself reports only its deletion now
	}
	m.record.Jobs[s.Key] = seen
	if seen.State == JobSucceeded {
		m.record.ran(s.Key, seen.Digest)
	}
	return seen
}

// identity returns the digest of the run in the cluster; empty if it is not ours. Only a proof or the record shows that
// Berth created the Job with that digest, because a copy bears it too.
func (m *maker) identity(s *Step, ran JobRecord) string {
	switch live := s.Live; {
	case live.Proved(m.in.Environment, m.in.Prover), m.in.Released[s.Key] && live.Proved(live.Environment, m.in.Prover), live.Digest != "" && live.Digest == ran.Digest:
		return live.Digest
	case live.UID == ran.UID:
		return ran.Digest // the mark was removed, or Berth took the Job over before
	case live.Job.Succeeded && live.Job.Program == observed.Program(s.Object.Unstructured):
		return s.Object.Digest // a cluster taken over from kubectl: the work is already done
	}
	return ""
}

// marks restores Berth's label and digest on the current run, if Berth took the Job over or a user removed them.
// Without them the Job would never be pruned.
func (m *maker) marks(s *Step, ran JobRecord) {
	if s.Action == Keep && s.Failure == "" && s.Live != nil && !s.Live.Deleting && s.Live.UID == ran.UID && !m.marked(s) {
		s.Action, s.Reason = Correct, "lacks Berth's marks"
	}
}

func (m *maker) marked(s *Step) bool {
	return s.Live.Environment == m.in.Environment && s.Live.Digest == s.Object.Digest && !m.unmarked(s.Live)
}

// intend plans a run. The run is recorded before it is created, so that a crash in between loses nothing.
func (m *maker) intend(s *Step, action Action, reason string) {
	s.Action, s.Reason = action, reason
	s.Health = health.Health{Status: health.Progressing, Message: reason}
	before := m.record.Jobs[s.Key]
	s.ran, s.Ran = m.comparable(s, before)
	m.intended[s.Key] = JobRecord{Digest: s.Object.Digest, State: JobIntended, Replaces: uid(s.Live), Spec: s.Ran, Ever: before.Ever}
}

// comparable returns the previous run and the digest of its spec, if a run with the same spec is not needed again. The
// previous run must have succeeded, and nothing else may ask for a run. Defaults that Git spells out are no change.
func (m *maker) comparable(s *Step, before JobRecord) (JobRecord, string) {
	switch {
	case annotation(s.Object, manifest.AnnotationJob) == everyCommit:
	case before.State == JobSucceeded:
		return before, before.Spec
	case before.State == JobIntended && before.Spec != "": // an agent crashed meanwhile
		return JobRecord{State: JobSucceeded, UID: before.Replaces, Spec: before.Spec, Ever: true}, before.Spec
	}
	return JobRecord{}, ""
}

// Same records that a Job equals the previous run, once the API server had completed its spec.
func (r *Record) Same(s Step) {
	run := s.ran
	run.Digest = s.Object.Digest
	r.Jobs[s.Key] = run
	r.ran(s.Key, run.Digest)
}

// replaceJob decides about a run that occupies the place of the desired one.
func (m *maker) replaceJob(s *Step, ran JobRecord) {
	switch {
	case s.Live.Deleting:
		m.intend(s, Create, "is to run")
		s.block(forOthers, "the previous run "+s.Live.Health.Message)
	case !s.Live.Runs(), s.Object.GetAnnotations()[manifest.AnnotationJobReplace] == "terminate":
		m.intend(s, Replace, m.replaceReason(s, ran))
	default:
		s.Action, s.Reason = Replace, m.replaceReason(s, ran)
		s.block(forOthers, "waits for the running Job to finish ("+manifest.AnnotationJobReplace+": terminate would end it)")
		s.Health = health.Health{Status: health.Progressing, Message: s.Blocked}
	}
}

func (m *maker) replaceReason(s *Step, ran JobRecord) string {
	switch live := s.Live; {
	case live.Digest == s.Object.Digest && ran.State == JobIntended:
		return "runs again, because a user asked for it"
	case live.UID != ran.UID && !live.Proved(m.in.Environment, m.in.Prover):
		return "was made by another client, and did not do the same work"
	case live.Runs():
		return "changed while it runs"
	case !live.Job.Finished:
		return "changed while it was suspended"
	}
	return "changed since it ran"
}

// readable is the minimum time that a failed run stays, so that its log can be read.
const readable = 10 * time.Second

// timeToLive enforces ttlSecondsAfterFinished, which the Job in the cluster does not bear, because the outcome must be
// recorded before the Job is deleted. The record keeps a failure after the Job is gone.
func (m *maker) timeToLive(s *Step, ran JobRecord) {
	seconds, set, _ := unstructured.NestedInt64(s.Object.Object, "spec", "ttlSecondsAfterFinished")
	if !set || s.Live == nil || s.Live.Deleting || s.Live.UID != ran.UID || !m.ours(*s.Live) {
		return
	}
	ttl := time.Duration(seconds) * time.Second
	if ran.State == JobFailed {
		ttl = max(ttl, readable)
	}
	over := ran.FinishedAt.Add(ttl)
	if m.in.Now.Before(over) || m.in.Record.Jobs[s.Key] != ran {
		m.replanAt(over)
		return
	}
	s.Action, s.Reason = Delete, fmt.Sprintf("finished more than %d seconds ago (ttlSecondsAfterFinished)", seconds)
	s.Blocked = ""
}

func uid(l *observed.Object) (id types.UID) {
	if l != nil {
		id = l.UID
	}
	return id
}
