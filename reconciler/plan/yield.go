package plan

import (
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Yields reports whether a desired object gives way to the existing one. A copy does, unless the existing object
// belongs to the environment.
func Yields(wanted *manifest.Object, there observed.Object, environment string) bool {
	return wanted.Yields && there.Environment != environment && (there.Environment != "" || there.Ownership == "")
}

// yield keeps the existing object in place of a copy.
func (m *maker) yield(s *Step) {
	s.Action, s.Reason = Keep, "is there already and stays as it is, because a copy overwrites nothing"
	s.Health = health.Health{Status: health.Healthy}
	m.warnings = append(m.warnings, s.Key.Short()+" "+s.Reason)
}
