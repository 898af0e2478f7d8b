package plan

import (
	"fmt"

	"berth.dev/berth/reconciler/manifest"
)

// The values of manifest.AnnotationReplace.
const (
	whenImmutable = "when-immutable"
	orphan        = "orphan"
)

// replaced decides about an object that cannot be changed in place, as the API server said in a message. Git may allow
// its deletion and re-creation. An object that holds data is never deleted for that. replaced returns the message to
// report if the object stays as it is.
func (m *maker) replaced(s *Step, message string) string {
	switch how := annotation(s.Object, manifest.AnnotationReplace); {
	case how == "":
		return message
	case how != whenImmutable && how != orphan:
		return fmt.Sprintf("%s; the annotation %s: %q is neither when-immutable nor orphan", message, manifest.AnnotationReplace, how)
	case keepsData[s.Key.Kind]:
		return fmt.Sprintf("%s; %s does not hold for a %s, whose deletion destroys data", message, manifest.AnnotationReplace, s.Key.Kind)
	case !s.MayReplace:
		return message + "; it was not made by Berth: to have it replaced, delete it by hand"
	case s.Orphans():
		s.Action, s.Reason = Replace, "cannot be changed in place, and is re-created while its pods keep running"
	default:
		s.Action, s.Reason = Replace, "cannot be changed in place, and is re-created"
	}
	return ""
}

// mayReplace reports whether Git allows Berth to delete and re-create an object of ours if it cannot be changed.
func (m *maker) mayReplace(s Step) bool {
	if s.Object == nil || s.Live == nil || manifest.IsJob(s.Key.GroupKind()) {
		return false
	}
	how := annotation(s.Object, manifest.AnnotationReplace)
	return (how == whenImmutable || how == orphan) && !keepsData[s.Key.Kind] && m.ours(*s.Live)
}

// Orphans reports whether the objects that a replaced object controls are to stay.
func (s Step) Orphans() bool {
	return s.Object != nil && !manifest.IsJob(s.Key.GroupKind()) && annotation(s.Object, manifest.AnnotationReplace) == orphan
}
