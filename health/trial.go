package health

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

const (
	// settling is how long a container without a readiness probe has to run before it counts as up. The kubelet calls
	// such a container ready as soon as it has started, even if its program ends a moment later.
	settling = 10 * time.Second
	// longestTrial bounds the time that a liveness probe may add.
	longestTrial = time.Minute
	// stable is how long a container has to run until its earlier crashes no longer matter. The kubelet's back-off
	// starts again after that time, too.
	stable = 10 * time.Minute
)

// Trial is how long the pods of a workload have to run, without a restart, before the workload counts as settled. It
// is comparable except for Since, which every change of the status moves.
type Trial struct {
	// For is the duration; zero means that a complete status is enough.
	For time.Duration
	// Why names the container that needs the trial, and completes a sentence.
	Why string
	// Since is when the status was last written, by the API server's clock; zero if unknown.
	Since time.Time
	// Written is when the spec was last written.
	Written time.Time
	// Generation is the generation that the status is about.
	Generation int64
}

// trialView holds the fields of a workload that decide about a trial.
type trialView struct {
	Spec struct {
		Replicas        *int32 `json:"replicas"`
		MinReadySeconds int32  `json:"minReadySeconds"`
		Template        struct {
			Spec corev1.PodSpec `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64 `json:"observedGeneration"`
	} `json:"status"`
}

// TrialOf returns the trial of a live workload. It reads the template: callers that drop the template keep the
// result. A workload with minReadySeconds has none, since its status counts pods only after that time. Neither has a
// Job, whose pods end.
func TrialOf(obj *unstructured.Unstructured) Trial {
	fields := obj.GetManagedFields()
	t := Trial{Since: writtenAt(fields, func(e metav1.ManagedFieldsEntry) bool { return e.Subresource == "status" }), Written: writtenAt(fields, writesSpec)}
	var v trialView
	if fromContent(obj, &v) != nil {
		return t
	}
	t.Generation = v.Status.ObservedGeneration
	if obj.GetKind() == "Job" || v.Spec.MinReadySeconds > 0 || ptr.Deref(v.Spec.Replicas, 1) == 0 {
		return t
	}
	t.of(v.Spec.Template.Spec)
	return t
}

// of sets the trial that the containers of a pod need.
func (t *Trial) of(pod corev1.PodSpec) {
	for _, c := range serving(pod) {
		if needs, why := trialOf(c); needs > t.For {
			t.For, t.Why = needs, why
		}
	}
}

// serving returns the containers that are meant to keep running.
func serving(pod corev1.PodSpec) []corev1.Container {
	var all []corev1.Container
	for _, c := range pod.InitContainers {
		if ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	return append(all, pod.Containers...)
}

// trialOf returns how long one container has to run. Without a readiness probe that is at least as long as its
// liveness probe takes to fail. The same holds if the two probes ask different ports, because one of them may be
// wrong.
func trialOf(c corev1.Container) (time.Duration, string) {
	switch {
	case c.ReadinessProbe == nil:
		return max(settling, untilKilled(c.LivenessProbe)), fmt.Sprintf("container %s has no readiness probe", oneLine(c.Name))
	case c.LivenessProbe != nil && asksAnotherPort(c):
		return max(settling, untilKilled(c.LivenessProbe)), fmt.Sprintf("the liveness probe of container %s asks another port than its readiness probe", oneLine(c.Name))
	}
	return 0, ""
}

// untilKilled returns how long a liveness probe that always fails lets a container run.
func untilKilled(p *corev1.Probe) time.Duration {
	if p == nil {
		return 0
	}
	period, threshold := int64(10), int64(3) // the API's defaults
	if p.PeriodSeconds > 0 {
		period = int64(p.PeriodSeconds)
	}
	if p.FailureThreshold > 0 {
		threshold = int64(p.FailureThreshold)
	}
	// The first probe may come as late as one full period after the delay.
	seconds := int64(p.InitialDelaySeconds) + period*(threshold+1)
	return min(time.Duration(seconds)*time.Second, longestTrial)
}

func asksAnotherPort(c corev1.Container) bool {
	ready, asked := portOf(c, c.ReadinessProbe)
	alive, also := portOf(c, c.LivenessProbe)
	return asked && also && ready != alive
}

// portOf returns the port that a probe asks, by its number if the container names it.
func portOf(c corev1.Container, p *corev1.Probe) (string, bool) {
	var port intstr.IntOrString
	switch {
	case p.HTTPGet != nil:
		port = p.HTTPGet.Port
	case p.TCPSocket != nil:
		port = p.TCPSocket.Port
	case p.GRPC != nil:
		port = intstr.FromInt32(p.GRPC.Port)
	default:
		return "", false // a command
	}
	for _, named := range c.Ports {
		if port.Type == intstr.String && named.Name == port.StrVal {
			port = intstr.FromInt32(named.ContainerPort)
		}
	}
	return port.String(), true
}

// writtenAt returns the time of the newest write that satisfies the condition.
func writtenAt(fields []metav1.ManagedFieldsEntry, takes func(metav1.ManagedFieldsEntry) bool) time.Time {
	var newest time.Time
	for _, e := range fields {
		if e.Time != nil && e.Time.After(newest) && takes(e) {
			newest = e.Time.UTC()
		}
	}
	return newest
}

// over returns when the trial ends, given since when the pods run, or the zero time if it has ended.
func (t Trial) over(pods []Pod, now time.Time) time.Time {
	if t.For == 0 {
		return time.Time{}
	}
	var since time.Time
	for _, p := range pods {
		if p.Up.After(since) {
			since = p.Up
		}
	}
	if since.IsZero() {
		since = t.Since // the last change of the status was that the last pod became ready
	}
	if since.After(now) {
		since = now // a clock that is ahead does not make the trial longer
	}
	if until := since.Add(t.For); now.Before(until) {
		return until
	}
	return time.Time{}
}

// underWay returns the health of a workload whose trial is not over.
func (t Trial) underWay() Health {
	return Health{Progressing, fmt.Sprintf("waits until its pods have run for %s without a restart: %s", spoken(t.For), t.Why)}
}

// Recent reports whether the status was written so recently that earlier crashes may still matter.
func (t Trial) Recent(now time.Time) bool { return now.Before(t.Since.Add(stable)) }
