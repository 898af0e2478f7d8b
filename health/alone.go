package health

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Alone holds the facts about a pod without a controller, which is its own whole rollout. It is small and comparable.
type Alone struct {
	Pod   Pod
	Trial Trial
}

// AloneOf returns the fields of a live pod without a controller that its judgement needs.
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

// Judge reports whether the pod has settled, by the rules for the pods of workloads. A ready pod has to stay up, and
// its troubles get time to pass: a missing image gets imagePullGrace.
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
