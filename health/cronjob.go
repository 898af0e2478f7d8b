package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

type cronJobSpec struct {
	Suspend bool `json:"suspend"`
}

// cronJob has nothing to settle: its Jobs start on schedule, and none of them belongs to a rollout.
func cronJob(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[cronJobSpec, none](obj)
	if err != nil {
		return Health{}, err
	}
	if v.Spec.Suspend {
		return Health{Suspended, "suspended: no Job is started until it is resumed"}, nil
	}
	return healthy()
}
