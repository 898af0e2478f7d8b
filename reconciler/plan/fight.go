package plan

import (
	"cmp"
	"fmt"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// fought delays the correction of an object that another client changes again and again. The fight is reported until
// the object has been calm for a while. Nothing else waits for the object while it exists and is healthy.
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
	m.replanAt(until)
	s.beside = s.Live != nil && !s.Live.Deleting && s.settled()
	waits := forOthers
	if !s.beside && !m.record.Sync.Settled {
		waits = forItself // the clock of a rollout runs on during a fight
	}
	s.block(waits, fmt.Sprintf("is changed again and again by %s, and corrected less often; let only one of the two write it, or set %s: ignore",
		cmp.Or(fight.Rival, "another client"), manifest.AnnotationDrift))
	s.Health = health.Health{Status: health.Progressing, Message: s.Blocked}
	if s.beside {
		m.warnings = append(m.warnings, s.Key.Short()+" "+s.Blocked)
	}
}
