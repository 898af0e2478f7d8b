package plan

import (
	"cmp"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// missing decides about an object that does not exist.
func (m *maker) missing(s *Step) {
	s.Action, s.Reason = Create, "is not in the cluster yet"
	if m.record.Applied[s.Key].Digest == s.Object.Digest {
		s.Action, s.Reason = Correct, "was deleted by another client"
	}
	s.Health = health.Health{Status: health.Progressing, Message: s.Reason}
}

// compare decides about an object that can be changed in place.
func (m *maker) compare(s *Step) {
	m.leave(s)
	applied, digest := m.record.Applied[s.Key], s.Object.Digest
	switch live := s.Live; {
	case live == nil:
		m.missing(s)
	case live.Deleting:
		s.Action, s.Reason = Create, "has to be re-created"
		s.block(forOthers, live.Health.Message)
	case m.in.Released[s.Key]:
		s.Action, s.Reason = Change, "is handed over by another environment"
	case live.Digest == digest && live.Ownership != "" && live.Ownership == applied.Ownership:
		m.undisturbed(s)
	case applied.Digest == digest && ignoresDrift(s.Object):
		s.Reason = m.disturbance(s) + ", which Git allows"
	case applied.Digest == digest:
		s.Action, s.Reason = Correct, m.disturbance(s)
	case live.Digest == digest:
		s.Action, s.Reason = Correct, "has no record of what was applied"
	case live.Ownership == "":
		m.adopt(s)
	default:
		s.Action, s.Reason = Change, "differs from Git"
	}
}

// adopt takes over an object that another client created. It removes what users added, unless Git leaves the object's
// drift alone.
func (m *maker) adopt(s *Step) {
	s.Action, s.Reason = Change, "was made by another client and is adopted"
	if !ignoresDrift(s.Object) {
		s.TakeOver = s.Live.Added
	}
}

// undisturbed decides about an object whose applied fields are unchanged.
func (m *maker) undisturbed(s *Step) {
	live, applied := s.Live, m.record.Applied[s.Key]
	switch {
	case ignoresDrift(s.Object):
	case m.unmarked(live):
		s.Action, s.Reason = Correct, "has the mark of an earlier version of Berth"
	case live.Added != nil:
		// This comes after the cases above: a field that seems added may be a changed one, and an apply reverts that
		// without help.
		s.Action, s.Reason, s.TakeOver = Correct, live.Added.String(), live.Added
	case m.rescaled(s):
		s.Action, s.Reason = Correct, "was scaled by "+cmp.Or(live.Scaler, "another client")+", and no known autoscaler scales it now"
	}
	// A crash may have kept the digest of our last write out of the record.
	leftTo := applied.LeftTo
	if s.LeftTo != (manifest.Key{}) {
		leftTo = s.LeftTo
	}
	m.record.Applied[s.Key] = Applied{Digest: s.Object.Digest, Ownership: live.Ownership, LeftTo: leftTo, ScaledBy: cmp.Or(s.ScaledBy, applied.ScaledBy)}
}

// disturbance returns what was done to the object, and by which client, if that is known. A client that only removes a
// field leaves no name. A client that scales leaves no time.
func (m *maker) disturbance(s *Step) string {
	if s.Live.Rival == "" && m.rescaled(s) {
		return "was scaled by " + s.Live.Scaler
	}
	return "was changed by " + cmp.Or(s.Live.Rival, "another client")
}

// mutationAnnotation is what other tools use in place of manifest.AnnotationDrift.
const mutationAnnotation = "client.lifecycle.config.k8s.io/mutation"

// ignoresDrift reports whether Git leaves drift of the object alone.
func ignoresDrift(o *manifest.Object) bool {
	return annotation(o, manifest.AnnotationDrift) == "ignore" || annotation(o, mutationAnnotation) == "ignore"
}
