package plan

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// everyName stands for all objects of a kind whose names are unknown.
const everyName = "*"

// unseen adds a step for every object that may be left of kinds that cannot be seen. Such objects are neither deleted
// nor reported as gone.
func (m *maker) unseen() {
	if len(m.in.Observed.Unknown) == 0 {
		return
	}
	wanted, told := map[manifest.Key]bool{}, map[schema.GroupKind]bool{}
	for _, s := range m.steps {
		wanted[s.Key], told[s.Key.GroupKind()] = true, true
	}
	var keys []manifest.Key
	note := func(key manifest.Key) {
		if m.hidden(key.GroupKind()) && !wanted[key] {
			keys, told[key.GroupKind()] = append(keys, key), true
		}
	}
	for key := range m.record.Applied {
		note(key)
	}
	for key := range m.record.Jobs {
		if !m.in.Past {
			note(key)
		}
	}
	for _, gvk := range m.in.Record.Kinds {
		if gk := gvk.GroupKind(); !told[gk] {
			note(manifest.Key{Group: gk.Group, Kind: gk.Kind, Name: everyName})
		}
	}
	slices.SortFunc(keys, manifest.Key.Compare)
	for _, key := range keys {
		m.leftover(m.mayBeThere(key, "is no longer in Git, and may still exist"))
	}
}

// unseenKinds adds a step for every unknown kind.
func (m *maker) unseenKinds() {
	kinds := slices.SortedFunc(maps.Keys(m.in.Observed.Unknown), func(a, b schema.GroupKind) int {
		return manifest.Key{Group: a.Group, Kind: a.Kind}.Compare(manifest.Key{Group: b.Group, Kind: b.Kind})
	})
	for _, gk := range kinds {
		if m.hidden(gk) {
			m.steps = append(m.steps, m.mayBeThere(manifest.Key{Group: gk.Group, Kind: gk.Kind, Name: everyName}, "may still exist"))
		}
	}
}

// hidden reports whether objects may exist of a kind that cannot be seen. If the cluster no longer serves the kind,
// they are gone.
func (m *maker) hidden(gk schema.GroupKind) bool {
	unknown, isUnknown := m.in.Observed.Unknown[gk]
	return isUnknown && unknown.State != observed.NotServed
}

func (m *maker) mayBeThere(key manifest.Key, reason string) Step {
	message := m.in.Observed.Unknown[key.GroupKind()].Message
	s := Step{Action: Keep, Key: key, Reason: reason, Health: health.Health{Status: health.Unknown, Message: message}, Stage: stageDeletions}
	s.block(forOthers, "cannot be seen by the agent: "+message)
	return s
}
