package plan

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// lastJobs adds the steps of the Jobs that run before anything is deleted. They run wave by wave, until all have
// succeeded or were given up. It returns what all deletions wait for; empty for nothing.
func (m *maker) lastJobs() (awaited string) {
	by := m.permitted()
	closed, wave := "", manifest.Place{}
	for _, s := range m.orderedLastJobs() {
		place, err := manifest.PlaceOf(*s.Object)
		if !sameWave(place, wave) {
			closed, wave = awaited, place
		}
		if err != nil {
			m.fail(&s, err.Error())
		}
		if m.runLast(&s, closed, by); s.Healthy() {
			continue
		}
		awaited = cmp.Or(awaited, fmt.Sprintf("waits for %s, which %s", s.Key.Short(), whenGone))
		m.steps = append(m.steps, s)
	}
	return awaited
}

// orderedLastJobs returns a step for each of these Jobs, in the order of their waves.
func (m *maker) orderedLastJobs() []Step {
	var steps []Step
	for key, job := range m.record.LastJobs {
		s := Step{Action: Keep, Key: key, Object: job.object(), Stage: stageMain, Reason: whenGone}
		if live, there := m.in.Observed.Objects[key]; there {
			s.Live, s.Health = &live, live.Health
		}
		steps = append(steps, s)
	}
	slices.SortFunc(steps, func(a, b Step) int {
		before, _ := manifest.PlaceOf(*a.Object)
		after, _ := manifest.PlaceOf(*b.Object)
		return cmp.Or(before.Compare(after), a.Key.Compare(b.Key))
	})
	return steps
}

// permission says whether a user allows a removal to continue.
type permission int

const (
	withheld permission = iota
	confirmed
)

// permitted returns whether a user allows the removal to continue without the Jobs that are reported as not succeeded.
// It uses the confirmation up. An earlier confirmation was for something else.
func (m *maker) permitted() permission {
	judged := &m.record.Guard.Judged
	fresh := m.in.Confirmation != "" && m.in.Confirmation != *judged
	*judged = cmp.Or(m.in.Confirmation, *judged)
	if fresh {
		return confirmed
	}
	return withheld
}

// runLast decides about one of these Jobs. closed says which Job of an earlier wave it waits for.
func (m *maker) runLast(s *Step, closed string, by permission) {
	job := m.record.LastJobs[s.Key]
	switch {
	case m.record.Jobs[s.Key].State == JobGivenUp, m.record.Jobs[s.Key].State == JobSucceeded:
		s.Health = health.Health{Status: health.Healthy}
		return
	case m.hasNoNamespace(s.Key):
		m.warnings = append(m.warnings, fmt.Sprintf("%s did not run: its namespace %s is gone, or is being deleted", s.Key.Short(), s.Key.Namespace))
		m.giveUp(s)
		return
	case closed != "":
		s.Action = Create
		s.block(forStep, closed)
		return
	}
	if job.Begun.IsZero() || m.in.Retry && (job.Told || m.record.Jobs[s.Key].State == JobFailed) {
		job.Begun, job.Told = m.now(), false
		if run := m.record.Jobs[s.Key]; run.State != JobCreated || s.Live == nil {
			m.record.Jobs[s.Key] = JobRecord{Digest: job.Digest, State: JobIntended, Replaces: uid(s.Live)}
		}
	}
	m.last(s)
	if why := m.whyNotLast(s, job); why != "" {
		if job.Told && by == confirmed {
			m.giveUp(s)
			return
		}
		job.Told = true
		m.fail(s, fmt.Sprintf("%s; nothing is deleted before it has succeeded; to run it again: berth retry %s; to delete without it: berth confirm %s", why, m.in.Name, m.in.Name))
	}
	m.record.LastJobs[s.Key] = job
}

// last decides what to do for the run of such a Job.
func (m *maker) last(s *Step) {
	if unknown, isUnknown := m.in.Observed.Unknown[s.Key.GroupKind()]; isUnknown {
		m.unknown(s, unknown)
		return
	}
	switch ran := m.lookAt(s); {
	case ran.State == JobSucceeded:
		s.Health = health.Health{Status: health.Healthy}
	case ran.State == JobFailed:
		m.fail(s, ran.Message)
	case ran.State == JobCreated && (s.Live == nil || s.Live.Deleting):
		ran.State, ran.Message = JobFailed, "was deleted by another client before it finished"
		m.record.Jobs[s.Key] = ran
		m.fail(s, ran.Message)
	case s.Live == nil:
		m.intend(s, Create, "runs before anything is deleted")
	case ran.State == JobCreated && s.Live.UID == ran.UID:
		s.Health = health.Health{Status: health.Progressing, Message: "runs before anything is deleted: " + s.Live.Health.Message}
	default:
		m.replaceJob(s, ran)
	}
	m.refused(s)
}

// whyNotLast returns why such a Job has not succeeded, if it failed or its time is over; else empty.
func (m *maker) whyNotLast(s *Step, job LastJob) string {
	over := job.Begun.Add(job.Timeout)
	switch {
	case s.Healthy():
		return ""
	case s.Failure != "":
		return s.Failure
	case m.in.Now.Before(over):
		m.replanAt(over)
		return ""
	}
	return fmt.Sprintf("has not succeeded within %s: %s", job.Timeout, s.why())
}

// giveUp continues the removal without a Job.
func (m *maker) giveUp(s *Step) {
	m.record.Jobs[s.Key] = JobRecord{Digest: s.Object.Digest, State: JobGivenUp}
	delete(m.intended, s.Key)
	*s = Step{Action: Keep, Key: s.Key, Object: s.Object, Live: s.Live, Health: health.Health{Status: health.Healthy}}
}

// hasNoNamespace reports whether the namespace of a Job is known to be gone or terminating, so that nothing can be
// created in it.
func (m *maker) hasNoNamespace(key manifest.Key) bool {
	if _, unknown := m.in.Observed.Unknown[schema.GroupKind{Kind: "Namespace"}]; unknown || key.Namespace != m.in.Namespace.Object.GetName() {
		return false
	}
	ns := m.in.Observed.Namespace
	return ns == nil || ns.Deleting
}
