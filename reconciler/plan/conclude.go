package plan

import (
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// conclude says how far the environment is, and what is worst.
func (m *maker) conclude() Plan {
	t := m.tally()
	p := Plan{Steps: m.steps, Applied: t.unwritten == 0}
	sync := &m.record.Sync
	late := m.late(t)
	switch {
	case len(t.failed) > 0 && sync.Settled:
		p.State, p.Message = Degraded, summary(t.failed)
	case len(t.failed) > 0:
		p.State, p.Message = Failed, summary(t.failed)
	case len(t.open) == 0:
		p.State, sync.Settled = Settled, true
	case sync.Settled && len(t.blocked) == 0:
		// A correction is on its way, or a workload scales: it was healthy and is not known to be ill.
		p.State = Settled
	case sync.Settled && !t.pruning:
		p.State, p.Message = Degraded, summary(t.blocked)
	case late:
		p.State, p.Message = Failed, fmt.Sprintf("not ready after %s: %s", m.in.Timeout, summary(t.open))
	case t.acting == 0 && len(t.others) > 0:
		p.State, p.Message = Waiting, summary(t.others)
	default:
		p.State, p.Message = Going, summary(t.open)
	}
	p.Record, p.Deadline = m.record, m.deadline
	return p
}

// tally sorts the steps by what they mean for the whole.
type tally struct {
	failed    []Step // cannot get there without help
	open      []Step // not there yet
	blocked   []Step // of these, those that wait for something
	others    []Step // of these, those that wait for what a rollout cannot bring about
	unwritten int    // desired, and not in the cluster as Git says
	acting    int
	pruning   bool // a deletion is among the blocked
	patient   bool // a running Job may take longer than the time-out
}

func (m *maker) tally() tally {
	var t tally
	for _, s := range m.steps {
		if s.Object != nil && s.Action != Keep && s.Action != Delete {
			t.unwritten++
		}
		if s.Acts() {
			t.acting++
		}
		if s.settled() {
			continue
		}
		if s.Failure != "" || s.Action == Keep && s.Health.Status == health.Failed {
			t.failed = append(t.failed, s)
			continue
		}
		t.open = append(t.open, s)
		t.patient = t.patient || m.mayRunLonger(s)
		if s.Blocked != "" {
			t.blocked = append(t.blocked, s)
			t.pruning = t.pruning || s.Object == nil
			if s.Object == nil || s.Live != nil && (s.Live.Deleting || s.Action == Replace) {
				t.others = append(t.others, s)
			}
		}
	}
	return t
}

// mayRunLonger says whether a step is a running Job that sets its own limit beyond the time-out.
func (m *maker) mayRunLonger(s Step) bool {
	if s.Object == nil || !manifest.IsJob(s.Key.GroupKind()) || s.Action != Keep {
		return false
	}
	spec, _ := s.Object.Object["spec"].(map[string]any)
	seconds, _ := spec["activeDeadlineSeconds"].(int64)
	return time.Duration(seconds)*time.Second > m.in.Timeout
}

// late says whether the rollout has used up its time, and notes when it will have.
func (m *maker) late(t tally) bool {
	if m.record.Sync.Settled || m.in.Suspended || t.patient || len(t.open) == 0 || m.in.Timeout == 0 {
		return false
	}
	over := m.record.Sync.Started.Add(m.in.Timeout)
	if m.in.Now.Before(over) {
		m.wakeAt(over)
		return false
	}
	return true
}

// named is how many objects a message names; the rest is counted.
const named = 3

// summary names what is worst, for people: the objects that cause, before those that wait for them.
func summary(steps []Step) string {
	var texts []string
	for _, waiting := range []bool{false, true} {
		for _, s := range steps {
			if (s.Failure == "" && s.Blocked != "") == waiting {
				texts = append(texts, s.Describe())
			}
		}
	}
	if more := len(texts) - named; more > 0 {
		texts = append(texts[:named], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// Describe says in one line which object it is and what it waits for, with the place in Git when the
// author has to mend it.
func (s Step) Describe() string {
	if s.Failure != "" && s.Object != nil && s.Object.Origin.File != "" && !strings.Contains(s.Failure, s.Object.Origin.File) {
		return fmt.Sprintf("%s (%s): %s", s.Key.Short(), s.Object.Origin, s.Failure)
	}
	return s.Key.Short() + ": " + s.why()
}
