package plan

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// job decides about a Job, which cannot be changed in place and must run once per change. Its
// identity is the digest of its spec.
func (m *maker) job(s *Step) {
	s.Object = m.identified(s.Object)
	ran := m.lookAt(s)
	if s.Object.GetAnnotations()[manifest.AnnotationJob] == "once" && ran.Ever {
		s.Reason, s.Health = "has run once, and is to run no more", health.Health{Status: health.Healthy}
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
		m.fail(s, ran.Message)
	case s.Live == nil && same && ran.State == JobCreated:
		ran.State, ran.Message = JobFailed, "was deleted by somebody else before it finished; to run it again: berth retry"
		m.record.Jobs[s.Key] = ran
		m.fail(s, ran.Message)
	case s.Live == nil:
		m.intend(s, Create, "is to run")
	case s.Live.Digest == s.Object.Digest && s.Live.UID != ran.Replaces:
		s.Reason = "is running"
	default:
		m.replaceJob(s, ran)
	}
}

// identified adds the commit to the identity of a Job that is to run with every commit.
func (m *maker) identified(o *manifest.Object) *manifest.Object {
	if o.GetAnnotations()[manifest.AnnotationJob] != "every-commit" {
		return o
	}
	withCommit := *o
	withCommit.Digest += "@" + m.in.Commit[:min(12, len(m.in.Commit))]
	return &withCommit
}

// lookAt brings the record of a Job up to what the cluster shows, and returns it.
func (m *maker) lookAt(s *Step) JobRecord {
	ran, live := m.record.Jobs[s.Key], s.Live
	if live == nil || live.Job == nil || live.UID == ran.Replaces {
		return ran
	}
	seen := JobRecord{Digest: live.Digest, State: JobCreated, UID: live.UID, Ever: ran.Ever}
	switch ours := live.Digest == s.Object.Digest; {
	case live.Digest == "" && live.Job.Succeeded && live.Job.Program == Program(s.Object.Unstructured):
		// A cluster taken over from kubectl: the same work is done.
		seen.Digest, seen.State, seen.Ever = s.Object.Digest, JobSucceeded, true
	case !ours || live.Deleting:
		return ran
	case live.Job.Succeeded:
		seen.State, seen.Ever = JobSucceeded, true
	case live.Job.Finished:
		seen.State, seen.Message = JobFailed, live.Health.Message
	}
	if seen.State != JobCreated {
		seen.FinishedAt = live.Job.FinishedAt.UTC()
	}
	m.record.Jobs[s.Key] = seen
	return seen
}

// intend notes a run before it is created, so that a crash in between loses nothing.
func (m *maker) intend(s *Step, action Action, reason string) {
	s.Action, s.Reason = action, reason
	s.Health = health.Health{Status: health.Progressing, Message: reason}
	ran := m.record.Jobs[s.Key]
	m.record.Jobs[s.Key] = JobRecord{Digest: s.Object.Digest, State: JobIntended, Replaces: uid(s.Live), Ever: ran.Ever}
}

// replaceJob decides about a run that stands in the place of the one that Git says.
func (m *maker) replaceJob(s *Step, ran JobRecord) {
	switch {
	case s.Live.Deleting:
		m.intend(s, Create, "is to run")
		s.Blocked = "the previous run " + s.Live.Health.Message
	case s.Live.Job != nil && s.Live.Job.Finished, s.Object.GetAnnotations()[manifest.AnnotationJobReplace] == "terminate":
		reason := "changed since it ran"
		if ran.Digest == s.Object.Digest && ran.Replaces == s.Live.UID && s.Live.Digest == ran.Digest {
			reason = "is to run again, as somebody asked"
		}
		m.intend(s, Replace, reason)
	default:
		s.Action, s.Reason = Replace, "changed while it runs"
		s.Blocked = "waits for the running Job to finish (" + manifest.AnnotationJobReplace + ": terminate would end it)"
		s.Health = health.Health{Status: health.Progressing, Message: s.Blocked}
	}
}

// timeToLive carries out ttlSecondsAfterFinished, which the Job in the cluster does not bear: the
// outcome must be in the record before the Job may go.
func (m *maker) timeToLive(s *Step, ran JobRecord) {
	ttl, set, _ := unstructured.NestedInt64(s.Object.Object, "spec", "ttlSecondsAfterFinished")
	if !set || s.Live == nil || s.Live.Deleting || s.Live.UID != ran.UID {
		return
	}
	over := ran.FinishedAt.Add(time.Duration(ttl) * time.Second)
	if m.in.Now.Before(over) || m.in.Record.Jobs[s.Key] != ran {
		m.wakeAt(over)
		return
	}
	s.Action, s.Reason = Delete, fmt.Sprintf("finished more than %d seconds ago (ttlSecondsAfterFinished)", ttl)
}

func uid(l *Live) (id types.UID) {
	if l != nil {
		id = l.UID
	}
	return id
}
