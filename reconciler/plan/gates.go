package plan

import (
	"cmp"
	"fmt"
	"slices"

	"berth.dev/berth/reconciler/manifest"
)

// gates sorts the steps and blocks those that have to wait: for their namespace, and for everything in earlier waves.
// Corrections wait for no gate: drift is reverted whatever else fails.
func (m *maker) gates() {
	m.sort()
	m.depend()
	closed := ""
	unsettled := "" // the first wave so far that has not settled
	for i := range m.steps {
		s := &m.steps[i]
		if i > 0 && gated(m.places[i]) && !sameWave(m.places[i-1], m.places[i]) {
			closed = unsettled
		}
		if m.in.Suspended && s.Acts() {
			s.block(forOthers, m.suspended())
		}
		if closed != "" && waitsAtGates(*s) {
			s.block(forStep, closed)
		}
		// Dependencies of the first phase are applied without waiting, and nothing comes after the last phase.
		if unsettled == "" && m.places[i].Phase == manifest.Main && !s.passes() {
			unsettled = fmt.Sprintf("waits for %s in wave %d", s.Key.Short(), m.places[i].Wave)
		}
	}
	m.awaitRights()
	for _, ns := range m.steps {
		if isNamespace(ns.Key) && ns.Blocked != "" {
			m.block(ns.Key.Short()+": "+ns.Blocked, func(s Step) bool { return s.Key.Namespace == ns.Key.Name })
		}
	}
}

// awaitRights blocks what comes from Git while the account gets its rights, if some of it cannot be seen without them. So
// a Secret of a namespace that existed before is still written before the pods that need it.
func (m *maker) awaitRights() {
	granting := func(s Step) bool { return manifest.IsBinding(s.Key) && s.Acts() }
	if m.blind() && slices.ContainsFunc(m.steps, granting) {
		m.block("waits until the account of the environment has its rights", func(s Step) bool { return s.Stage > stageOwn })
	}
}

// suspended returns what blocks the steps of an environment with spec.suspend.
func (m *maker) suspended() string {
	return "the environment is suspended; to go on: berth resume " + m.in.Name
}

func isNamespace(k manifest.Key) bool { return k.Group == "" && k.Kind == "Namespace" }

// waitsAtGates reports whether a step has to wait for earlier ones.
func waitsAtGates(s Step) bool { return s.Acts() && s.Action != Correct && s.Action != Delete }

func gated(p manifest.Place) bool { return p.Phase != manifest.First }

func sameWave(a, b manifest.Place) bool { return a.Phase == b.Phase && a.Wave == b.Wave }

// impossible reports whether the object cannot be written at all. A Job whose run failed was written.
func (m *maker) impossible(s Step) bool {
	return s.Failure != "" && m.record.Jobs[s.Key].State != JobFailed
}

// block blocks all acting steps that meet a condition.
func (m *maker) block(why string, takes func(Step) bool) {
	for i := range m.steps {
		if s := &m.steps[i]; s.Acts() && takes(*s) {
			s.block(forStep, why)
		}
	}
}

func (m *maker) sort() {
	order := make([]int, len(m.steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(m.steps[a].Stage, m.steps[b].Stage), m.places[a].Compare(m.places[b]))
	})
	steps, places := make([]Step, len(order)), make([]manifest.Place, len(order))
	for to, from := range order {
		steps[to], places[to] = m.steps[from], m.places[from]
	}
	m.steps, m.places = steps, places
}

// refuse blocks the whole sync if the cluster cannot take one of the objects that it changes and the environment has
// something to lose. A first sync continues with the other objects. A step that was refused before is retried alone;
// the others follow when it succeeds.
func (m *maker) refuse() {
	if !m.record.Sync.Running || m.record.Sync.Settled {
		return
	}
	for _, s := range m.steps {
		if m.impossible(s) && !s.inherited {
			m.block("the sync is refused because of "+s.Key.Short(), func(other Step) bool { return other.Action != Correct })
			return
		}
	}
	retried := func(s Step) bool { return s.Acts() && slices.Contains(m.retried, s.Key) }
	if i := slices.IndexFunc(m.steps, retried); i >= 0 {
		m.block("waits for "+m.steps[i].Key.Short()+", which was refused before", func(other Step) bool {
			return other.Action != Correct && !retried(other)
		})
	}
}
