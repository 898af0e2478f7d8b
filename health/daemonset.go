package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

type daemonSetSpec struct {
	UpdateStrategy struct {
		Type string `json:"type"`
	} `json:"updateStrategy"`
}

type daemonSetStatus struct {
	ObservedGeneration     int64 `json:"observedGeneration"`
	DesiredNumberScheduled int32 `json:"desiredNumberScheduled"`
	UpdatedNumberScheduled int32 `json:"updatedNumberScheduled"`
	NumberReady            int32 `json:"numberReady"`
	NumberAvailable        int32 `json:"numberAvailable"`
}

// daemonSet wants one updated, available pod on every node that it selects, which may be none.
func daemonSet(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[daemonSetSpec, daemonSetStatus](obj)
	if err != nil {
		return Health{}, err
	}
	s := v.Status
	if s.ObservedGeneration == 0 || s.ObservedGeneration < v.Metadata.Generation {
		return unseen, nil
	}
	want := s.DesiredNumberScheduled
	// With OnDelete a user replaces the old pods, so no gate waits for that.
	byItself := v.Spec.UpdateStrategy.Type != "OnDelete"
	switch {
	case byItself && s.UpdatedNumberScheduled < want:
		return progressing("%s", countOf(s.UpdatedNumberScheduled, want, "updated"))
	case s.NumberReady < want:
		return progressing("%s", countOf(s.NumberReady, want, "ready"))
	case s.NumberAvailable < want:
		return progressing("%s", countOf(s.NumberAvailable, want, "available"))
	}
	return healthy()
}
