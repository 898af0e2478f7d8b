package plan

import (
	"cmp"
	"fmt"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// fought holds the correction of an object back that somebody else changes again and again. That there
// is a fight is said until it has been calm for a while, but it keeps no rollout from being done.
func (m *maker) fought(s *Step) {
	fight, ok := m.in.Fights[s.Key]
	if !ok || s.Failure != "" || s.Blocked != "" || s.Action != Keep && s.Action != Correct {
		return
	}
	until := fight.Until
	if s.Action == Keep {
		until = fight.Calm
	}
	if !m.in.Now.Before(until) || s.Action == Keep && !m.record.Sync.Settled {
		return
	}
	m.wakeAt(until)
	s.block(forOthers, fmt.Sprintf("is changed again and again by %s, and corrected less often; let only one of the two write it, or set %s: ignore",
		cmp.Or(fight.Rival, "somebody else"), manifest.AnnotationDrift))
	s.Health = health.Health{Status: health.Progressing, Message: s.Blocked}
}
