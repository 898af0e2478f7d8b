package plan

import (
	"cmp"
	"fmt"
	"slices"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Teardown decides how an environment is deleted. It deletes the namespace if Berth made it, or else the objects in
// reverse order. Jobs that run on removal come first. The plan is Settled when nothing is left.
func Teardown(in Input) Plan {
	m := &maker{in: in, record: in.Record.Clone(), intended: map[manifest.Key]JobRecord{}}
	awaited := m.lastJobs()
	ns := in.Observed.Namespace
	owned := ns != nil && m.ours(*ns)
	var objects, inside, own []observed.Object
	for _, live := range in.Observed.Objects {
		switch {
		case owned && live.Key.Namespace == ns.Key.Name:
			inside = append(inside, live)
		case m.ours(live) && manifest.IsOwn(live.Key):
			own = append(own, live)
		case m.ours(live) && m.in.Heirs[live.Key] != "":
			m.handOver(live)
		case m.ours(live) && !kept(live):
			objects = append(objects, live)
		}
	}
	order := removalOf(objects)
	if awaited != "" || (len(order.objects) > 0 || m.blind()) && !owned {
		m.equip()
	}
	if owned && ns.Prune != "never" {
		order.addLast(*ns, manifest.Main)
	}
	// These grant the right to delete the others.
	for _, live := range own {
		order.addLast(live, manifest.First)
	}
	for _, live := range order.objects {
		m.tearDown(live, order, awaited)
	}
	m.holding(inside)
	m.unseenKinds()
	m.intentions()
	p := Plan{Steps: m.steps, State: Settled, Warnings: m.warnings, Record: m.record, Deadline: m.deadline}
	if len(m.steps) > 0 {
		p.State, p.Message = m.left()
	}
	return p
}

// blind reports whether objects may be left that only the account can see, which has no rights.
func (m *maker) blind() bool {
	for _, unknown := range m.in.Observed.Unknown {
		if unknown.State == observed.Ungranted {
			return true
		}
	}
	return false
}

// equip re-creates the agent's own objects in the namespace if a user deleted them. The rights that they grant are
// needed to create the last Jobs, and to see and delete objects.
func (m *maker) equip() {
	if ns := m.in.Observed.Namespace; ns == nil || ns.Deleting {
		return
	}
	for i := range m.in.Own {
		if own := &m.in.Own[i]; m.in.Observed.Objects[own.Key()].UID == "" {
			m.object(own)
		}
	}
}

// tearDown adds the step of one object. awaited is what everything waits for that comes after the last Jobs.
func (m *maker) tearDown(live observed.Object, order *removal, awaited string) {
	if _, isLast := m.record.LastJobs[live.Key]; isLast && awaited != "" {
		return // it already has a step
	}
	s := Step{Action: Delete, Key: live.Key, Live: &live, Reason: "the environment is torn down", Health: live.Health, Stage: order.stage(live.Key)}
	if live.Deleting {
		s.block(forOthers, live.Health.Message)
	} else {
		s.block(forStep, cmp.Or(awaited, order.awaits(live.Key)))
	}
	m.refused(&s)
	m.steps = append(m.steps, s)
}

// handOver leaves an object to the environment that now has it in Git, and waits until that environment has taken it
// over.
func (m *maker) handOver(live observed.Object) {
	s := Step{Action: Keep, Key: live.Key, Live: &live, Reason: "is handed over", Health: live.Health}
	s.block(forOthers, "waits for "+m.in.Heirs[live.Key]+" to take it over, which has it in Git now")
	m.steps = append(m.steps, s)
}

// holding adds a step for every known object that blocks the deletion of its namespace.
func (m *maker) holding(inside []observed.Object) {
	slices.SortFunc(inside, func(a, b observed.Object) int { return a.Key.Compare(b.Key) })
	for _, live := range inside {
		if live.Deleting && len(live.Finalizers) > 0 {
			s := Step{Action: Keep, Key: live.Key, Live: &live, Reason: "is deleted with its namespace", Health: live.Health}
			s.block(forOthers, live.Health.Message)
			m.steps = append(m.steps, s)
		}
	}
}

// left returns how far the teardown is: what blocks it, or how much is left to delete.
func (m *maker) left() (State, string) {
	if failed := m.failures(); len(failed) > 0 {
		return Failed, summary(failed)
	}
	if !slices.ContainsFunc(m.steps, Step.Acts) {
		return Waiting, summary(m.steps)
	}
	return Going, fmt.Sprintf("%d to delete: %s", len(m.steps), summary(m.steps))
}

// failures returns the steps of Jobs that did not succeed.
func (m *maker) failures() (failed []Step) {
	for _, s := range m.steps {
		if s.Failure != "" && s.Object != nil {
			failed = append(failed, s)
		}
	}
	return failed
}
