package health

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
)

type replicaSetSpec struct {
	Replicas *int32 `json:"replicas"`
}

type replicaSetStatus struct {
	conditioned
	Replicas          int32 `json:"replicas"`
	ReadyReplicas     int32 `json:"readyReplicas"`
	AvailableReplicas int32 `json:"availableReplicas"`
}

// replicaSet judges ReplicaSets and ReplicationControllers. Neither replaces pods after a change of its template, so
// there is no update to wait for.
func replicaSet(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[replicaSetSpec, replicaSetStatus](obj)
	if err != nil {
		return Health{}, err
	}
	s := v.Status
	if s.ObservedGeneration == 0 || s.ObservedGeneration < v.Metadata.Generation {
		return unseen, nil
	}
	if c := s.Conditions.get("ReplicaFailure"); c.Status == "True" {
		return refused(c, noRoom), nil
	}
	want := ptr.Deref(v.Spec.Replicas, 1)
	switch {
	case s.Replicas > want:
		return progressing("%s", waitFor(s.Replicas-want, "surplus"))
	case s.ReadyReplicas < want:
		return progressing("%s", countOf(s.ReadyReplicas, want, "ready"))
	case s.AvailableReplicas < want:
		return progressing("%s", countOf(s.AvailableReplicas, want, "available"))
	}
	return healthy()
}
