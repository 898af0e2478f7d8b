package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// conclude determines the state of the environment, and what is worst.
func (m *maker) conclude() Plan {
	t := m.tally()
	p := Plan{Steps: m.steps, Guarded: m.guarded, Warnings: m.warnings, Applied: t.unwritten == 0}
	sync := &m.record.Sync
	late := m.late(t)
	switch {
	case len(t.failed) > 0 && sync.Settled:
		p.State, p.Message = Degraded, summary(t.failed)
	case len(t.failed) > 0:
		p.State, p.Message = Failed, summary(t.failed)
	case len(t.open) == 0, late && t.onlyDeletes():
		p.State, sync.Settled = Settled, true
		for _, s := range t.open {
			p.Warnings = append(p.Warnings, "cannot delete "+s.Key.Short()+", which is no longer in Git: "+s.why())
		}
		if !m.in.Incomplete {
			m.record.Origin = m.in.Origin
			m.forgetLastJobs()
		}
	case sync.Settled && late && t.deletions < len(t.open):
		p.State, p.Message = Degraded, fmt.Sprintf("not ready for %s: %s", m.patience(t), summary(t.open))
	case sync.Settled && len(t.ill) > 0:
		p.State, p.Message = Degraded, summary(t.ill)
	case t.waiting(), late && t.deletions == len(t.open):
		p.State, p.Message = Waiting, summary(t.others)
	case sync.Settled && sync.Degraded:
		p.State, p.Message = Degraded, summary(t.open)
	case sync.Settled:
		// A correction is in progress, or a workload scales: the environment was healthy and is not known to be
		// unhealthy.
		p.State = Settled
	case late:
		p.State, p.Message = Failed, fmt.Sprintf("not ready after %s: %s", m.patience(t), summary(t.open))
	default:
		p.State, p.Message = Going, summary(t.open)
	}
	if images := m.record.Images; images.Digest == m.in.Digest && !sync.Settled {
		p.Warnings = append(p.Warnings, images.Unchecked...)
	}
	sync.Degraded = p.State == Degraded || sync.Degraded && p.State != Settled
	p.Record, p.Deadline = m.record, m.deadline
	return p
}

// tally sorts the steps by what they mean for the plan's state.
type tally struct {
	failed    []Step // cannot succeed without help
	open      []Step // not done yet
	ill       []Step // open steps that show trouble in what was healthy before
	others    []Step // open steps that wait for what a rollout cannot bring about
	own       int    // number of open steps that the rollout itself moves
	deletions int    // number of open steps that delete what left Git
	unwritten int    // number of desired objects that are not in the cluster as Git says
	patient   bool   // a running Job may take longer than the timeout
}

// onlyDeletes reports whether only deletions are left. They end without help, and fail nothing if they take longer than
// a rollout may.
func (t tally) onlyDeletes() bool { return t.deletions == len(t.open) && len(t.others) == 0 }

// waiting reports whether all open steps wait for others.
func (t tally) waiting() bool { return len(t.others) > 0 && t.own == 0 }

func (m *maker) tally() tally {
	var t tally
	for _, s := range m.steps {
		if s.Object != nil && !s.beside && (m.impossible(s) || s.Action != Keep && s.Action != Delete) {
			t.unwritten++
		}
		switch {
		case s.passes():
			continue
		case s.Failure != "" || s.Action == Keep && s.Health.Status == health.Failed:
			t.failed = append(t.failed, s)
			continue
		}
		t.open = append(t.open, s)
		if s.Action == Delete {
			t.deletions++
		}
		t.patient = t.patient || m.mayRunLonger(s)
		switch {
		case s.Blocked == "" || s.waits == forItself:
			t.own++
		case s.waits == forOthers:
			t.others = append(t.others, s)
		}
		if m.isIll(s) {
			t.ill = append(t.ill, s)
		}
	}
	return t
}

// isIll reports whether an open step shows trouble in an environment that was healthy. Retries, objects that a user
// suspended, and pending deletions are no trouble.
func (m *maker) isIll(s Step) bool {
	if s.Blocked == "" || s.Object == nil || m.in.Suspended {
		return false
	}
	return s.waits != forItself || s.Health.Status == health.Unknown
}

// mayRunLonger reports whether a step is a running Job whose own limit exceeds the timeout.
func (m *maker) mayRunLonger(s Step) bool {
	if s.Object == nil || !manifest.IsJob(s.Key.GroupKind()) || s.Action != Keep || s.Health.Status != health.Progressing {
		return false
	}
	spec, _ := s.Object.Object["spec"].(map[string]any)
	seconds, _ := spec["activeDeadlineSeconds"].(int64)
	return time.Duration(seconds)*time.Second > m.limit(s)
}

// late reports whether the rollout has used up its time, and records when that will be. The clock stands still while a
// user has to act or a Job has to finish.
func (m *maker) late(t tally) bool {
	since := &m.record.Sync.Since
	if len(t.open) == 0 || t.waiting() || t.patient || m.in.Suspended {
		*since = time.Time{}
		return false
	}
	if since.IsZero() {
		*since = m.now()
	}
	limit := m.patience(t)
	over := since.Add(limit)
	if limit == 0 || !m.in.Now.Before(over) {
		return limit > 0
	}
	m.replanAt(over)
	return false
}

// patience returns how long the open steps may take: the environment's timeout, or the object's own. The shortest limit
// decides. Steps that wait for others get their time afterwards.
func (m *maker) patience(t tally) time.Duration {
	var shortest time.Duration
	for _, s := range t.open {
		if limit := m.limit(s); (s.Blocked == "" || s.waits == forItself) && limit > 0 && (shortest == 0 || limit < shortest) {
			shortest = limit
		}
	}
	return cmp.Or(shortest, m.in.Timeout)
}

func (m *maker) limit(s Step) time.Duration {
	if s.Object != nil {
		if own, err := time.ParseDuration(s.Object.GetAnnotations()[manifest.AnnotationTimeout]); err == nil {
			return own
		}
	}
	return m.in.Timeout
}

// named is how many objects a message names. It counts the rest.
const named = 3

// summary names the worst objects for users. It groups objects with the same trouble. It names steps that merely wait
// for others only if nothing else is the cause.
func summary(steps []Step) string {
	causes := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool {
		return s.Failure == "" && s.Blocked != "" && s.waits == forStep
	})
	if len(causes) == 0 {
		causes = steps
	}
	causes = causes[:min(named, len(causes))]
	var text strings.Builder
	for i, s := range causes {
		switch {
		case i+1 == len(causes):
			text.WriteString(s.Describe())
		case s.Failure == "" && s.Trouble() == causes[i+1].Trouble():
			text.WriteString(s.Key.Short() + ", ")
		default:
			text.WriteString(s.Describe() + "; ")
		}
	}
	if more := len(steps) - len(causes); more > 0 {
		fmt.Fprintf(&text, "; and %d more", more)
	}
	return text.String()
}

// Describe returns in one line which object the step is about and what it waits for. If the author has to fix it, the
// line contains the place in Git.
func (s Step) Describe() string {
	switch {
	case s.place() != "":
		return fmt.Sprintf("%s (%s): %s", s.Key.Short(), s.Object.Origin, s.Failure)
	case s.Failure != "" && s.Object != nil && strings.HasPrefix(s.Failure, s.Object.Origin.String()+": "):
		return s.Failure // which names the object too
	}
	return s.Key.Short() + ": " + s.why()
}

// place returns the place in Git of a failed object, as a prefix for messages that lack it.
func (s Step) place() string {
	if s.Failure == "" || s.Object == nil || s.Object.Origin.File == "" || strings.Contains(s.Failure, s.Object.Origin.File) {
		return ""
	}
	return s.Object.Origin.String() + ": "
}
