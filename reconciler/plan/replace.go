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

// replaced decides about an object of which the API server has said, with a message, that it cannot be
// changed in place: Git may allow that it is deleted and made anew. What holds data is never deleted for
// that. It returns what is to be said if the object stays as it is.
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
		s.Action, s.Reason = Replace, "cannot be changed in place, and is made anew while its pods run on"
	default:
		s.Action, s.Reason = Replace, "cannot be changed in place, and is made anew"
	}
	return ""
}

// mayReplace reports whether Git allows that an object of ours is deleted and re-created if it cannot be changed.
func (m *maker) mayReplace(s Step) bool {
	if s.Object == nil || s.Live == nil || manifest.IsJob(s.Key.GroupKind()) {
		return false
	}
	how := annotation(s.Object, manifest.AnnotationReplace)
	return (how == whenImmutable || how == orphan) && !keepsData[s.Key.Kind] && m.ours(*s.Live)
}

// Orphans reports whether what an object that is replaced controls is to live on.
func (s Step) Orphans() bool {
	return s.Object != nil && !manifest.IsJob(s.Key.GroupKind()) && annotation(s.Object, manifest.AnnotationReplace) == orphan
}
