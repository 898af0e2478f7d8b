package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The cluster's words for what is wrong with a pod. All but the last are given some time to pass.
const (
	reasonImagePull     = "ImagePullBackOff"
	reasonConfigError   = "CreateContainerConfigError"
	reasonCreateError   = "CreateContainerError"
	reasonUnschedulable = "Unschedulable"
	reasonCrashLoop     = "CrashLoopBackOff"
)

const (
	// scheduling is the time in which a cluster's autoscaler may bring a node.
	scheduling = 2 * time.Minute
	// configuring is the time in which a controller may write a Secret that a pod names, and in which the kubelet's
	// cache learns of a ConfigMap that is as new as the pod.
	configuring = 30 * time.Second
)

// Rollout combines a workload's own health with that of its newest pods, which the caller selects: a rollout that its
// pods show cannot succeed has Failed long before its controller says so, and one that has failed or only is slow
// names the pod that is to blame. Workloads that have settled, or are not moving, stay as they are.
//
// The pod to blame comes with it, with its Container, if there is one. An image that cannot be pulled is waited for imagePullGrace long, since whoever builds it may not be done. The time
// is that at which the judgement changes by itself if nothing else does, zero if it does not.
func Rollout(workload Health, pods []Pod, now time.Time, imagePullGrace time.Duration) (Health, Pod, time.Time) {
	if workload.Status != Progressing && workload.Status != Failed {
		return workload, Pod{}, time.Time{}
	}
	var next time.Time
	judged := make([]Pod, 0, len(pods))
	for _, p := range pods {
		p, until := patient(p, now, imagePullGrace)
		if !until.IsZero() && (next.IsZero() || until.Before(next)) {
			next = until
		}
		judged = append(judged, p)
	}
	if len(judged) == 0 {
		return workload, Pod{}, time.Time{}
	}
	worst := slices.MinFunc(judged, worseFirst)
	if rank(worst) == nothingToSay {
		return workload, Pod{}, time.Time{}
	}
	// A pod that has ended decides nothing: its owner makes another, or says itself that it gave up.
	h := Health{workload.Status, join(workload.Message, worst.describe())}
	if worst.Health.Status == Failed && !worst.Ended {
		h.Status = Failed
	}
	if h.Status == Failed {
		return h, worst, time.Time{}
	}
	return h, worst, next
}

// patient settles whether what is wrong with a pod may still pass at this time, and until when.
func patient(p Pod, now time.Time, imagePullGrace time.Duration) (Pod, time.Time) {
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
	p.Health.Message += fmt.Sprintf(" (waited for up to %s)", spoken(grace))
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

// How much a pod says about why its workload has not settled, the most first.
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

// worseFirst orders pods by what they say; among equals the newest comes first, then the name decides, so that the
// order in which a caller lists them does not show.
func worseFirst(a, b Pod) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), b.Since.Compare(a.Since), cmp.Compare(a.Name, b.Name))
}

func join(workload, pod string) string {
	if workload == "" {
		return pod
	}
	return workload + "; " + pod
}
