package health

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Alone is a pod that nothing makes, and so is all of its rollout. It is small and comparable.
type Alone struct {
	Pod   Pod
	Trial Trial
}

// AloneOf returns what the judgement of a live pod needs that stands by itself.
func AloneOf(obj *unstructured.Unstructured) Alone {
	a := Alone{Pod: OfPod(obj)}
	var v struct {
		Spec corev1.PodSpec `json:"spec"`
	}
	if fromContent(obj, &v) == nil {
		a.Trial.of(v.Spec)
	}
	return a
}

// Judge reports whether the pod has settled, by the rules for the pods of workloads: a pod that is ready has to stay up, and
// what is wrong with it may pass for some time, an image that is not there for imagePullGrace.
func (a Alone) Judge(now time.Time, imagePullGrace time.Duration) Verdict {
	p, next := patient(a.Pod, now, imagePullGrace)
	if p.Health.Status != Healthy {
		return Verdict{Health: p.Health, Blamed: p, Next: next}
	}
	if until := a.Trial.over([]Pod{p}, now); !p.Ended && !until.IsZero() {
		return Verdict{Health: a.Trial.underWay(), Next: until}
	}
	return Verdict{Health: p.Health}
}
