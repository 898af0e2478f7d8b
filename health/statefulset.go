package health

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
)

type statefulSetSpec struct {
	Replicas       *int32 `json:"replicas"`
	UpdateStrategy struct {
		Type          string `json:"type"`
		RollingUpdate struct {
			Partition int32 `json:"partition"`
		} `json:"rollingUpdate"`
	} `json:"updateStrategy"`
}

type statefulSetStatus struct {
	ObservedGeneration int64 `json:"observedGeneration"`
	Replicas           int32 `json:"replicas"`
	UpdatedReplicas    int32 `json:"updatedReplicas"`
	ReadyReplicas      int32 `json:"readyReplicas"`
	AvailableReplicas  int32 `json:"availableReplicas"`
}

// statefulSet can only count pods: its controller reports failures as events and never in the status.
func statefulSet(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[statefulSetSpec, statefulSetStatus](obj)
	if err != nil {
		return Health{}, err
	}
	s := v.Status
	if s.ObservedGeneration == 0 || s.ObservedGeneration < v.Metadata.Generation {
		return unseen, nil
	}
	want := ptr.Deref(v.Spec.Replicas, 1)
	update, note := statefulSetUpdate(want, v.Spec)
	switch {
	case s.Replicas < want:
		return progressing("%s", countOf(s.ReadyReplicas, want, "ready"))
	case s.UpdatedReplicas < update:
		return progressing("%s%s", countOf(s.UpdatedReplicas, update, "updated"), note)
	case s.ReadyReplicas < want:
		return progressing("%s", countOf(s.ReadyReplicas, want, "ready"))
	case s.Replicas > want:
		return progressing("%s", waitFor(s.Replicas-want, "surplus"))
	case s.AvailableReplicas < want:
		return progressing("%s", countOf(s.AvailableReplicas, want, "available"))
	}
	return healthy()
}

// statefulSetUpdate returns how many pods the controller replaces by itself. With OnDelete a user deletes them, and
// below the partition they stay: no gate waits for either.
func statefulSetUpdate(want int32, spec statefulSetSpec) (update int32, note string) {
	if spec.UpdateStrategy.Type == "OnDelete" {
		return 0, ""
	}
	partition := spec.UpdateStrategy.RollingUpdate.Partition
	if partition <= 0 {
		return want, ""
	}
	return max(0, want-partition), fmt.Sprintf(" (partition %d)", partition)
}
