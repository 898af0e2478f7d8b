package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// keepsData are the kinds whose deletion destroys data that Git cannot restore.
var keepsData = map[string]bool{"PersistentVolumeClaim": true, "PersistentVolume": true, "CustomResourceDefinition": true, "Namespace": true}

// HoldsData reports whether the deletion of an object destroys data that Git cannot restore.
func HoldsData(k manifest.Key) bool { return keepsData[k.Kind] }

// prune decides about objects that are in the cluster and no longer in Git. It waits until everything else has settled,
// so that a failed rollout keeps what the old version needs.
func (m *maker) prune() {
	gone, total := m.leftovers()
	waits, blocked := m.pruneBlocked(gone, total)
	var leaving []observed.Object
	for _, live := range gone {
		if reason := m.staying(live); reason != "" {
			m.leftover(Step{Action: Keep, Key: live.Key, Live: &live, Reason: reason, Health: health.Health{Status: health.Healthy}, Stage: stageDeletions})
			continue
		}
		leaving = append(leaving, live)
	}
	m.unseen()
	order, obstructed := removalOf(leaving), false
	for _, live := range order.objects {
		s := Step{Action: Delete, Key: live.Key, Live: &live, Reason: "is no longer in Git", Health: live.Health, Stage: order.stage(live.Key)}
		switch {
		case live.Deleting:
			s.block(deleter(live), live.Health.Message)
			if s.waits == forOthers {
				m.obstructed(&s)
			}
		case live.Job != nil && live.Runs():
			s.block(forOthers, "waits for the running Job to finish")
		case m.in.Undecided != "":
			s.block(forItself, "waits for "+m.in.Undecided+" in the same namespace, which may want it")
			m.replanAt(m.in.Now.Add(time.Second))
		case blocked != "":
			s.block(waits, blocked)
		default:
			s.block(forStep, order.awaits(live.Key))
			if m.undeletable(&s) {
				m.obstructed(&s)
			}
			s.beside = s.beside || s.Blocked != "" && obstructed
		}
		obstructed = obstructed || s.beside
		m.leftover(s)
	}
}

// undeletable delays a deletion that the API server refused before, and reports whether the deletion has to wait.
func (m *maker) undeletable(s *Step) bool {
	r, ok := m.in.Refusals[s.Key]
	if !ok || s.Blocked != "" || r.Digest != s.Content() {
		return false
	}
	if s.Late = r.Unanswered; !m.in.Now.Before(r.Until) {
		return false
	}
	m.replanAt(r.Until)
	s.block(forItself, strings.Replace(r.Message, s.Key.String()+": ", "", 1))
	return true
}

// obstructed records a deletion that another client prevents. Everything in Git is in the cluster all the same, so the
// sync is done. The obstacle is a warning, and never a reason for a rollback.
func (m *maker) obstructed(s *Step) {
	s.beside = true
	m.warnings = append(m.warnings, "cannot delete "+s.Key.Short()+", which is no longer in Git: "+s.Blocked)
}

// leftover adds the step of an object that is not in Git.
func (m *maker) leftover(s Step) {
	m.steps, m.places = append(m.steps, s), append(m.places, manifest.KindPlace(s.Key.GroupKind()))
}

// staying returns why an object that left Git is left alone; empty if it is not.
func (m *maker) staying(l observed.Object) string {
	switch {
	case m.in.Incomplete:
		return "may be in Git, but some objects of Git cannot be fetched now"
	case m.in.Heirs[l.Key] != "":
		return "is handed over to " + m.in.Heirs[l.Key] + ", which has it in Git now"
	case m.in.Past && l.Job != nil:
		return "is a run of a newer commit, and is kept in case that commit is retried"
	case kept(l):
		return "is no longer in Git, and kept: " + keptBecause(l)
	}
	return ""
}

// deleter returns who has to act before an object is gone. That is the cluster itself, unless another controller's
// finalizer blocks the deletion.
func deleter(l observed.Object) blocker {
	for _, f := range l.Finalizers {
		if f != metav1.FinalizerDeleteDependents && f != metav1.FinalizerOrphanDependents {
			return forOthers
		}
	}
	return forItself
}

func keptBecause(l observed.Object) string {
	if l.Prune == "never" {
		return manifest.AnnotationPrune + ": never"
	}
	return "its kind keeps data; delete it by hand, or set " + manifest.AnnotationPrune + ": allow in Git before it leaves"
}

// leftovers returns the objects that are provably ours and not desired, and how many objects of Git are ours in total.
func (m *maker) leftovers() (gone []observed.Object, total int) {
	desired := make(map[manifest.Key]bool, len(m.steps))
	for _, s := range m.steps {
		desired[s.Key] = true
	}
	for key, live := range m.in.Observed.Objects {
		if _, unknown := m.in.Observed.Unknown[key.GroupKind()]; unknown || !m.ours(live) {
			continue
		}
		if !manifest.IsOwn(key) {
			total++
		}
		if !desired[key] {
			gone = append(gone, live)
		}
	}
	slices.SortFunc(gone, func(a, b observed.Object) int { return a.Key.Compare(b.Key) })
	return gone, total
}

// pruneBlocked returns what all deletions wait for.
func (m *maker) pruneBlocked(gone []observed.Object, total int) (blocker, string) {
	if m.in.Suspended {
		return forOthers, m.suspended()
	}
	for _, s := range m.steps {
		if !s.passes() && !m.in.Ahead {
			return forStep, fmt.Sprintf("waits for %s: %s", s.Key.Short(), s.why())
		}
	}
	if held := m.guard(deletable(gone), total); held != "" {
		return forOthers, held
	}
	return forItself, ""
}

// deletable returns the objects from Git that would be deleted.
func deletable(gone []observed.Object) (going []manifest.Key) {
	for _, l := range gone {
		if !l.Deleting && !kept(l) && !manifest.IsOwn(l.Key) {
			going = append(going, l.Key)
		}
	}
	return going
}

// kept reports whether an object stays in the cluster after it left Git.
func kept(l observed.Object) bool {
	return l.Prune == "never" || keepsData[l.Key.Kind] && l.Prune != "allow"
}
