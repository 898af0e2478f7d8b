package plan

import (
	"cmp"
	"fmt"
	"slices"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// The brake of an environment: more than brakeCount objects and more than half of all that it has are
// deleted at once only after somebody confirmed it.
const brakeCount = 5

// keepsData are the kinds whose deletion destroys what Git cannot bring back.
var keepsData = map[string]bool{"PersistentVolumeClaim": true, "PersistentVolume": true, "CustomResourceDefinition": true, "Namespace": true}

// prune decides about what is in the cluster and no longer in Git. It waits until everything else has
// settled, so that a failed rollout keeps what the old version needs.
func (m *maker) prune() {
	gone, total := m.leftovers()
	blocked := m.pruneBlocked(gone, total)
	for _, live := range gone {
		s := Step{Action: Delete, Key: live.Key, Live: &live, Reason: "is no longer in Git", Health: live.Health}
		switch {
		case live.Prune == "never", keepsData[live.Key.Kind] && live.Prune != "allow":
			s.Action, s.Reason = Keep, "is no longer in Git, and kept: "+keptBecause(live)
			s.Health = health.Health{Status: health.Healthy}
		case live.Deleting:
			s.Blocked = live.Health.Message
		case live.Job != nil && !live.Job.Finished:
			s.Blocked = "waits for the running Job to finish"
		default:
			s.Blocked = blocked
		}
		s.Stage = deletionStage(live.Key)
		m.steps, m.places = append(m.steps, s), append(m.places, manifest.KindPlace(live.Key.GroupKind()))
	}
}

func keptBecause(l Live) string {
	if l.Prune == "never" {
		return manifest.AnnotationPrune + ": never"
	}
	return "its kind keeps data; delete it by hand, or set " + manifest.AnnotationPrune + ": allow in Git before it leaves"
}

// leftovers returns what is provably ours and not desired, in the order of deletion, and how many
// objects are ours in all.
func (m *maker) leftovers() (gone []Live, total int) {
	desired := make(map[manifest.Key]bool, len(m.steps))
	for _, s := range m.steps {
		desired[s.Key] = true
	}
	for key, live := range m.in.Observed.Objects {
		if !live.ours(m.in.Environment) {
			continue
		}
		total++
		if !desired[key] {
			gone = append(gone, live)
		}
	}
	sortForDeletion(gone)
	return gone, total
}

// ours says whether the object was provably made by Berth for the environment. Jobs and Namespaces are
// created, not applied, and known by their digest.
func (l Live) ours(environment string) bool {
	return l.Environment == environment && !l.Controlled && (l.Ownership != "" || l.Digest != "")
}

func sortForDeletion(objects []Live) {
	slices.SortFunc(objects, func(a, b Live) int {
		return cmp.Or(manifest.KindPlace(b.Key.GroupKind()).Compare(manifest.KindPlace(a.Key.GroupKind())), a.Key.Compare(b.Key))
	})
}

// deletionStage orders deletions in reverse of creation.
func deletionStage(key manifest.Key) int {
	return stageDeletions + stageLast - stage(key, manifest.KindPlace(key.GroupKind()))
}

// pruneBlocked says what all deletions wait for.
func (m *maker) pruneBlocked(gone []Live, total int) string {
	if m.in.Suspended {
		return "the environment is suspended"
	}
	if m.in.Desired.Len() == 0 {
		return "Git says nothing at all, and nothing is deleted on doubt"
	}
	for _, s := range m.steps {
		if !s.settled() {
			return fmt.Sprintf("waits for %s: %s", s.Key.Short(), s.why())
		}
	}
	if n := m.deletable(gone); n > brakeCount && n*2 > total && !m.in.Confirmed {
		return fmt.Sprintf("%d of %d objects would be deleted at once; confirm it, or put them back into Git", n, total)
	}
	return ""
}

func (m *maker) deletable(gone []Live) (n int) {
	for _, l := range gone {
		if l.Prune != "never" && !l.Deleting && (!keepsData[l.Key.Kind] || l.Prune == "allow") {
			n++
		}
	}
	return n
}

// Teardown decides how an environment is taken down: by its namespace if Berth made it, else object by
// object, in reverse order. It is Settled when nothing is left.
func Teardown(in Input) Plan {
	m := &maker{in: in, record: in.Record.Clone()}
	ns := in.Observed.Namespace
	owned := ns != nil && ns.Environment == in.Environment
	objects := make([]Live, 0, len(in.Observed.Objects))
	for _, live := range in.Observed.Objects {
		inside := owned && live.Key.Namespace == ns.Key.Name
		if live.ours(in.Environment) && !inside && live.Key.Kind != "Namespace" {
			objects = append(objects, live)
		}
	}
	sortForDeletion(objects)
	for _, live := range objects {
		m.takeDown(live)
	}
	if owned {
		m.takeDown(*ns)
	}
	for gk, unknown := range in.Observed.Unknown {
		if !owned && unknown.State == Syncing {
			m.steps = append(m.steps, Step{Action: Keep, Key: manifest.Key{Group: gk.Group, Kind: gk.Kind}, Blocked: unknown.Message})
		}
	}
	p := Plan{Steps: m.steps, State: Settled, Record: m.record}
	if len(m.steps) > 0 {
		s := m.steps[0]
		p.State, p.Message = Going, s.Key.Short()+": "+s.why()
	}
	return p
}

func (m *maker) takeDown(live Live) {
	s := Step{Action: Delete, Key: live.Key, Live: &live, Reason: "the environment is taken down", Health: live.Health, Stage: deletionStage(live.Key)}
	switch {
	case live.Deleting:
		s.Blocked = live.Health.Message
	case live.Prune == "never", keepsData[live.Key.Kind] && live.Prune != "allow" && live.Key.Kind != "Namespace":
		return
	}
	m.steps = append(m.steps, s)
}
