package plan

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// Teardown decides how an environment is taken down: by its namespace if Berth made it, else object by
// object, in reverse order. It is Settled when nothing is left.
func Teardown(in Input) Plan {
	m := &maker{in: in, record: in.Record.Clone()}
	ns := in.Observed.Namespace
	owned := ns != nil && ns.Environment == in.Environment
	objects := make([]Live, 0, len(in.Observed.Objects))
	for _, live := range in.Observed.Objects {
		inside := owned && live.Key.Namespace == ns.Key.Name
		if live.ours(in.Environment) && !inside && !live.kept() {
			objects = append(objects, live)
		}
	}
	sortForDeletion(objects)
	if owned && ns.Prune != "never" {
		objects = append(objects, *ns)
	}
	for _, live := range objects {
		m.takeDown(live)
	}
	m.unseen()
	p := Plan{Steps: m.steps, State: Settled, Record: m.record, Deadline: m.deadline}
	if len(m.steps) > 0 {
		p.State, p.Message = m.left()
	}
	return p
}

func (m *maker) takeDown(live Live) {
	s := Step{Action: Delete, Key: live.Key, Live: &live, Reason: "the environment is taken down", Health: live.Health, Stage: deletionStage(live.Key)}
	if live.Deleting {
		s.block(forOthers, live.Health.Message)
	}
	m.refused(&s)
	m.steps = append(m.steps, s)
}

// unseen adds a step for every kind of which nothing is known: it is not said to be gone. What the
// cluster does not serve any more is.
func (m *maker) unseen() {
	kinds := slices.SortedFunc(maps.Keys(m.in.Observed.Unknown), func(a, b schema.GroupKind) int {
		return manifest.Key{Group: a.Group, Kind: a.Kind}.Compare(manifest.Key{Group: b.Group, Kind: b.Kind})
	})
	for _, gk := range kinds {
		if unknown := m.in.Observed.Unknown[gk]; unknown.State != NotServed {
			s := Step{Action: Keep, Key: manifest.Key{Group: gk.Group, Kind: gk.Kind, Name: "*"}, Reason: "may be there", Health: health.Health{Status: health.Unknown, Message: unknown.Message}}
			s.block(forOthers, "what there is of it cannot be seen: "+unknown.Message)
			m.steps = append(m.steps, s)
		}
	}
}

// left says how far the teardown is: what it is stuck at, or how much is still to go.
func (m *maker) left() (State, string) {
	acts := func(s Step) bool { return s.Acts() }
	if stuck := slices.DeleteFunc(slices.Clone(m.steps), acts); len(stuck) == len(m.steps) {
		return Waiting, summary(stuck)
	}
	return Going, fmt.Sprintf("%d to delete: %s", len(m.steps), summary(m.steps))
}
