package plan

import (
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// changes reports whether what Git says of an object differs from what was last applied. A sync may be refused for
// problems of these objects alone. A problem of any other object is older than what Git says now.
func (m *maker) changes(s Step) bool {
	if s.Object == nil {
		return false
	}
	if manifest.IsJob(s.Key.GroupKind()) {
		run := m.in.Record.Jobs[s.Key]
		return run.Digest != s.Object.Digest || run.State == JobIntended
	}
	return m.in.Record.Applied[s.Key].Digest != s.Object.Digest
}

// inherit keeps an older problem of an object from blocking a sync. While the object exists and is healthy, the problem
// is a warning of that sync. A problem that arises after a sync makes the environment Degraded. An object that is
// missing or unhealthy keeps a sync from being done, as it would without the problem.
func (m *maker) inherit(s *Step) {
	if s.Failure == "" || !m.impossible(*s) || m.changes(*s) || m.dependencies.mistake(s.Key) != "" {
		return // the commit may have caused a dependency error through the other object
	}
	s.inherited = true
	there := s.Live != nil && !s.Live.Deleting && s.Live.Health.Status == health.Healthy
	applied, sync := m.record.Applied[s.Key], m.record.Sync
	if !there || sync.Settled && applied.Troubled != sync.Digest {
		return
	}
	applied.Troubled = sync.Digest
	m.record.Applied[s.Key] = applied
	m.warnings = append(m.warnings, s.Describe())
	why := s.Failure
	s.Failure, s.beside = "", true
	s.block(forOthers, why)
	s.Health = health.Health{Status: health.Progressing, Message: why}
}
