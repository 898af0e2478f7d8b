package plan

import (
	"fmt"

	"berth.dev/berth/reconciler/manifest"
)

// replaced decides about an object of which the API server has said, with a message, that it cannot be
// changed in place: Git may allow that it is deleted and made anew. What holds data is never deleted for
// that. It returns what is to be said if the object stays as it is.
func (m *maker) replaced(s *Step, message string) string {
	switch how := annotation(s.Object, manifest.AnnotationReplace); {
	case how == "":
		return message
	case how != "when-immutable" && how != "orphan":
		return fmt.Sprintf("%s; the annotation %s: %q is neither when-immutable nor orphan", message, manifest.AnnotationReplace, how)
	case keepsData[s.Key.Kind]:
		return fmt.Sprintf("%s; %s does not hold for a %s, whose deletion destroys data", message, manifest.AnnotationReplace, s.Key.Kind)
	case s.Live == nil || !s.Live.ours(m.in.Environment):
		return message + "; it was not made by Berth: to have it replaced, delete it by hand"
	case how == "orphan":
		s.Action, s.Reason = Replace, "cannot be changed in place, and is made anew while its pods run on"
	default:
		s.Action, s.Reason = Replace, "cannot be changed in place, and is made anew"
	}
	return ""
}
