package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The cluster's words for troubles of a pod. All but the last get some time to pass.
const (
	reasonImagePull     = "ImagePullBackOff"
	reasonConfigError   = "CreateContainerConfigError"
	reasonCreateError   = "CreateContainerError"
	reasonUnschedulable = "Unschedulable"
	reasonCrashLoop     = "CrashLoopBackOff"
)

const (
	// scheduling is the time that a cluster's autoscaler gets to add a node.
	scheduling = 2 * time.Minute
	// configuring is the time for a controller to write a Secret that a pod names. It also gives the kubelet's cache
	// time to see a ConfigMap that is as new as the pod.
	configuring = 30 * time.Second
)

// Rollout holds the known facts about a workload.
type Rollout struct {
	// Workload is the workload's own health.
	Workload Health
	// Trial is how long its pods have to stay up beyond that.
	Trial Trial
	// Pods are the known pods of its newest revision.
	Pods []Pod
	// Events are the warnings about the workload itself, or about the ReplicaSet that creates its newest pods.
	Events []Event
}

// Verdict is the judgement of a rollout.
type Verdict struct {
	Health Health
	// Blamed is the pod that Health is about, with its Container, if there is one.
	Blamed Pod
	// Next is when the verdict changes without any further event; zero if it does not.
	Next time.Time
}

// Judge combines a workload's own health with that of its newest pods. If its pods show that a rollout cannot
// succeed, it has Failed long before its controller reports so. A failed or slow rollout names the pod to blame. A
// workload whose status is complete has settled once its pods have stayed up. One that is suspended or being deleted
// stays as it is.
//
// An image that cannot be pulled gets imagePullGrace before it fails the rollout, since its build may not be
// finished.
func (r Rollout) Judge(now time.Time, imagePullGrace time.Duration) Verdict {
	switch r.Workload.Status {
	case Healthy, Progressing, Failed:
	default:
		return Verdict{Health: r.Workload}
	}
	worst, next := r.worst(now, imagePullGrace)
	if r.Workload.Status == Healthy {
		return r.settled(worst, next, now)
	}
	v := Verdict{Health: refusedByEvent(r), Next: next}
	if rank(worst) < nothingToSay {
		v.Blamed = worst
		v.Health.Message = join(v.Health.Message, worst.describe())
		// A pod that has ended decides nothing: its owner creates another, or reports that it gave up.
		if worst.Health.Status == Failed && !worst.Ended {
			v.Health.Status = Failed
		}
	}
	if rank(worst) == nothingToSay || v.Health.Status == Failed && !now.Before(worst.Relapse.Until) {
		v.Next = time.Time{}
	}
	return v
}

// worst returns the most informative pod, and when that may change.
func (r Rollout) worst(now time.Time, imagePullGrace time.Duration) (Pod, time.Time) {
	var next time.Time
	judged := make([]Pod, 0, len(r.Pods))
	for _, p := range r.Pods {
		p, until := patient(p, now, imagePullGrace)
		if !until.IsZero() && (next.IsZero() || until.Before(next)) {
			next = until
		}
		judged = append(judged, p)
	}
	if len(judged) == 0 {
		return Pod{}, time.Time{}
	}
	return slices.MinFunc(judged, worseFirst), next
}

// settled judges a workload with a complete status.
func (r Rollout) settled(worst Pod, next, now time.Time) Verdict {
	if rank(worst) <= troubled {
		return Verdict{Health: Health{worst.Health.Status, worst.describe()}, Blamed: worst, Next: next}
	}
	if until := r.Trial.over(r.Pods, now); !until.IsZero() {
		return Verdict{Health: r.Trial.underWay(), Next: until}
	}
	return Verdict{Health: r.Workload}
}

// patient decides whether a pod's trouble may still pass at this time, and until when.
func patient(p Pod, now time.Time, imagePullGrace time.Duration) (Pod, time.Time) {
	if p.Health.Status == Healthy && now.Before(p.Relapse.Until) {
		r := p.Relapse
		p.Health, p.Reason, p.Container, p.Restarts, p.ExitCode = r.Health, r.Reason, r.Container, r.Restarts, r.ExitCode
		return p, r.Until
	}
	var grace time.Duration
	switch p.Reason {
	case reasonImagePull:
		grace = imagePullGrace
	case reasonConfigError, reasonCreateError:
		grace = configuring
	case reasonUnschedulable:
		grace = scheduling
	default:
		return p, time.Time{}
	}
	if p.Health.Status != Progressing || p.Since.IsZero() {
		return p, time.Time{}
	}
	until := p.Since.Add(grace)
	if !now.Before(until) {
		p.Health.Status = Failed
		return p, time.Time{}
	}
	p.Health.Message += fmt.Sprintf(" (fails after %s)", spoken(grace))
	return p, until
}

// spoken prints a duration without the zeros that time.Duration adds.
func spoken(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// The order in which pods explain why their workload has not settled, the best explanation first.
const (
	broken = iota
	troubled
	endedBadly
	waiting
	nothingToSay
)

func rank(p Pod) int {
	switch {
	case p.Health.Status == Healthy, p.Health.Status == Terminating, p.Health.Message == "":
		return nothingToSay
	case p.Ended:
		return endedBadly
	case p.Health.Status == Failed:
		return broken
	case p.Reason != "":
		return troubled
	}
	return waiting
}

// worseFirst orders pods by that. Among equals the newest comes first, and then the name decides, so that the result
// does not depend on the order of the list.
func worseFirst(a, b Pod) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), b.Since.Compare(a.Since), cmp.Compare(a.Name, b.Name))
}

func join(workload, pod string) string {
	if workload == "" {
		return pod
	}
	return workload + "; " + pod
}
