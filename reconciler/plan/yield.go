package plan

import (
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Yields reports whether an object leaves its place to what is there: a copy does, unless that is the
// environment's own.
func Yields(wanted *manifest.Object, there observed.Object, environment string) bool {
	return wanted.Yields && there.Environment != environment && (there.Environment != "" || there.Ownership == "")
}

// yield leaves the place of a copy to what is there.
func (m *maker) yield(s *Step) {
	s.Action, s.Reason = Keep, "is there already and stays as it is, for a copy overwrites nothing"
	s.Health = health.Health{Status: health.Healthy}
	m.warnings = append(m.warnings, s.Key.Short()+" "+s.Reason)
}
