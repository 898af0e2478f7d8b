package health

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// crashLoopRestarts is the number of restarts from which a container that does not stay up counts as a crash loop.
// That is about half a minute after the first crash, given the kubelet's back-off (none, 10 s, 20 s, 40 s, …). Many
// applications that start beside their database crash fewer times.
const crashLoopRestarts = 3

// container is one container's status, with whether it is an init container.
type container struct {
	corev1.ContainerStatus
	init bool
}

// containers lists all containers in the order in which they run.
func (v podView) containers() []container {
	all := make([]container, 0, len(v.Status.InitContainerStatuses)+len(v.Status.ContainerStatuses))
	for _, s := range v.Status.InitContainerStatuses {
		all = append(all, container{s, true})
	}
	for _, s := range v.Status.ContainerStatuses {
		all = append(all, container{s, false})
	}
	return all
}

func (c container) label() string {
	if c.init {
		return "init container " + oneLine(c.Name)
	}
	return "container " + oneLine(c.Name)
}

// started reports whether a sidecar (an init container that keeps running) allows the next container to begin.
func (c container) started() bool {
	return c.Started != nil && *c.Started && c.State.Running != nil
}

// judgeContainers finds the container with the worst trouble, the first among equals, and reports whether there is
// one.
func (v podView) judgeContainers(p *Pod) bool {
	found := false
	for _, c := range v.containers() {
		h, reason := v.trouble(c)
		if reason == "" || found && (h.Status != Failed || p.Health.Status == Failed) {
			continue
		}
		found = true
		p.Health = h
		p.blame(c, reason)
	}
	return found
}

// blame notes the container that a pod's reason is about.
func (p *Pod) blame(c container, reason string) {
	p.Reason, p.Container, p.Restarts, p.ExitCode = reason, c.Name, c.RestartCount, 0
	if end := c.lastEnd(); end != nil {
		p.ExitCode = end.ExitCode
	}
}

// lastEnd returns how the container ended most recently, or nil if it never did.
func (c container) lastEnd() *corev1.ContainerStateTerminated {
	if c.State.Terminated != nil {
		return c.State.Terminated
	}
	return c.LastTerminationState.Terminated
}

// trouble judges a single container; the reason is empty if nothing is wrong with it.
func (v podView) trouble(c container) (Health, string) {
	if c.Ready {
		return Health{}, ""
	}
	if w := c.State.Waiting; w != nil {
		if h, reason := waitingTrouble(c, w); reason != "" {
			return h, reason
		}
	}
	if v.crashed(c) {
		return v.crash(c)
	}
	return Health{}, ""
}

// waitingTrouble judges why the kubelet cannot start a container, in the kubelet's words.
func waitingTrouble(c container, w *corev1.ContainerStateWaiting) (Health, string) {
	cannot := func(what string) string { return oneLine(c.label() + ": " + what) }
	switch w.Reason {
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed":
		// The kubelet alternates between ErrImagePull and ImagePullBackOff: one word for both, so that nothing flaps.
		return Health{Progressing, cannot(imageTrouble(c, w.Message))}, reasonImagePull
	case "InvalidImageName", "ErrImageNeverPull", "ImageInspectError":
		return Health{Failed, cannot(w.Reason + ": " + w.Message)}, w.Reason
	case reasonConfigError, reasonCreateError:
		return Health{Progressing, cannot(w.Reason + ": " + w.Message)}, w.Reason
	}
	return Health{}, ""
}

// imageTrouble reduces the kubelet's message to its cause, which the runtime and the registry client each wrapped.
func imageTrouble(c container, message string) string {
	what := fmt.Sprintf("image %q cannot be pulled", c.Image)
	if _, cause, found := strings.Cut(message, "desc = "); found {
		message = cause
	} else if rest, found := strings.CutPrefix(message, "Back-off pulling image "); found {
		// Kubelets before 1.32 repeat only the image here.
		_, message, _ = strings.Cut(rest, ": ")
	}
	if message == "" {
		return what
	}
	return what + ": " + message
}

// crashed reports whether a container that is not ready does not stay up. If a container was ready after its last
// start, its problem is not its past restarts. The same holds for one that waits for a new sandbox.
func (v podView) crashed(c container) bool {
	if w := c.State.Waiting; w != nil {
		return w.Reason == reasonCrashLoop || w.Reason == "RunContainerError" || w.Reason == "PostStartHookError"
	}
	end := c.lastEnd()
	if end == nil {
		return false
	}
	switch run := c.State.Running; {
	case run != nil && c.init:
		return end.ExitCode != 0 && !c.started()
	case run != nil:
		return !v.condition(corev1.PodReady).LastTransitionTime.After(run.StartedAt.Time)
	}
	// An init container that ended without an error is done, and so is a container of a Job.
	return end.ExitCode != 0 || !c.init && v.restartsAlways()
}

func (v podView) restartsAlways() bool {
	return cmp.Or(v.Spec.RestartPolicy, corev1.RestartPolicyAlways) == corev1.RestartPolicyAlways
}

// crash judges a container that does not stay up. Pods that are not always restarted belong to a Job, which retries
// up to its backoffLimit and itself reports when it has failed.
func (v podView) crash(c container) (Health, string) {
	end := c.lastEnd()
	h := Health{Progressing, c.label() + " " + howItEnded(end)}
	switch looping := c.RestartCount >= crashLoopRestarts && ran(end) < stable; {
	case looping:
		// The count is left out, because it keeps growing and a changed message is reported again.
		h.Message += ", restarted again and again"
		if v.restartsAlways() {
			h.Status = Failed
		}
	case c.RestartCount > 0:
		h.Message += ", " + plural(c.RestartCount, "restart")
	}
	switch reason := endReason(end); reason {
	case "Error", "Completed":
		return h, reasonCrashLoop
	default:
		return h, reason
	}
}

// howItEnded completes a sentence about a container. It leaves out termination messages except the runtime's own: an
// application's may hold a part of its log.
func howItEnded(end *corev1.ContainerStateTerminated) string {
	switch {
	case end == nil:
		return "does not stay up"
	case end.Reason == "OOMKilled":
		return "was killed because it used more memory than its limit (OOMKilled)"
	case end.Reason == "StartError", end.Reason == "ContainerCannotRun":
		return oneLine("cannot be started: " + end.Message)
	case end.ExitCode == 0:
		return "exited with code 0 but is meant to keep running"
	case end.Signal != 0:
		return fmt.Sprintf("was ended by signal %d", end.Signal)
	}
	return fmt.Sprintf("exited with code %d", end.ExitCode)
}

// endReason returns the kubelet's word for how a container ended.
func endReason(end *corev1.ContainerStateTerminated) string {
	if end == nil {
		return "Error"
	}
	return cmp.Or(end.Reason, "Error")
}

// ran returns how long a container ran before it ended; zero if that is unknown.
func ran(end *corev1.ContainerStateTerminated) time.Duration {
	if end == nil || end.StartedAt.IsZero() || end.FinishedAt.IsZero() {
		return 0
	}
	return max(0, end.FinishedAt.Sub(end.StartedAt.Time))
}

// relapse returns the latest crash to pass among those of containers that run again. A container that ended soon is
// likely to end as soon again, so it has to run longer than it did.
func (v podView) relapse() Relapse {
	var last Relapse
	for _, c := range v.containers() {
		run, end := c.State.Running, c.LastTerminationState.Terminated
		if run == nil || end == nil || c.RestartCount == 0 {
			continue
		}
		need := settling
		if before := ran(end); before < stable {
			need += before
		}
		if until := run.StartedAt.Add(need).UTC(); until.After(last.Until) {
			h, reason := v.crash(c)
			last = Relapse{Until: until, Health: h, Reason: reason, Container: c.Name, Restarts: c.RestartCount, ExitCode: end.ExitCode}
		}
	}
	return last
}
