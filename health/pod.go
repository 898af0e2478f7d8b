package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Pod holds the facts about a pod that [Rollout] needs. It is small and comparable: equal pods give the same
// judgement.
type Pod struct {
	Name string
	// Health is the pod's own. A trouble that may pass with time, such as a missing image, is Progressing.
	Health Health
	// Reason is the cluster's word for the trouble, such as ImagePullBackOff, CrashLoopBackOff, OOMKilled,
	// CreateContainerConfigError, Unschedulable or Evicted. It is empty for a pod that is well or merely starting.
	Reason string
	// Container names the container that Reason is about, if it is about one. Its log is the one to read.
	Container string
	// Restarts counts that container's restarts.
	Restarts int32
	// ExitCode is that of the container's last end, 0 also if it never ended.
	ExitCode int32
	// Since is the start of the grace period for Reason: when the pod's containers began to be started, or, until it
	// has a node, when it was created. For a pod that has ended it is the time of its end. UTC, zero if unknown.
	Since time.Time
	// Ended is true if the pod has succeeded or failed for good; its owner creates another if it needs one.
	Ended bool
	// Up is the time since which all long-running containers have been running; zero if one is not.
	Up time.Time
	// Relapse is the latest trouble of a pod that is ready; zero if it had none.
	Relapse Relapse
	// lacks is what a pod without trouble still waits for.
	lacks lack
	// claims are the names of the PersistentVolumeClaims that it mounts, separated by commas.
	claims string
}

// Relapse describes a container that runs again after a crash but may crash once more.
type Relapse struct {
	// Until is when the trouble counts as over. A container that crashed has to run longer than it did before the
	// crash.
	Until time.Time
	// Health, Reason, Container, Restarts and ExitCode are the pod's until then.
	Health    Health
	Reason    string
	Container string
	Restarts  int32
	ExitCode  int32
}

// lack is what a pod on its way waits for.
type lack string

const (
	lacksNode      lack = "node"      // the scheduler has not assigned a node
	lacksStart     lack = "start"     // the kubelet has not started a container
	lacksReadiness lack = "readiness" // a probe has not passed
)

// podView holds the judged fields of a pod, in the API's own types, since rules for pods read many fields.
type podView struct {
	Metadata struct {
		Name              string      `json:"name"`
		CreationTimestamp metav1.Time `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec struct {
		NodeName      string               `json:"nodeName"`
		RestartPolicy corev1.RestartPolicy `json:"restartPolicy"`
		Volumes       []corev1.Volume      `json:"volumes"`
	} `json:"spec"`
	Status corev1.PodStatus `json:"status"`
}

func pod(obj *unstructured.Unstructured) (Health, error) {
	p, err := reduce(obj)
	return p.Health, err
}

// OfPod reduces a live pod to what its workload's judgement needs. Like Of it never panics.
func OfPod(obj *unstructured.Unstructured) Pod {
	if obj == nil || obj.Object == nil || obj.GetDeletionTimestamp() != nil {
		p := Pod{Health: Of(obj)}
		if obj != nil {
			p.Name = obj.GetName()
		}
		return p
	}
	p, err := reduce(obj)
	if err != nil {
		return Pod{Name: obj.GetName(), Health: unreadable(err)}
	}
	return p
}

func reduce(obj *unstructured.Unstructured) (Pod, error) {
	var v podView
	if err := fromContent(obj, &v); err != nil {
		return Pod{}, err
	}
	p := Pod{Name: v.Metadata.Name, Since: v.since()}
	switch v.Status.Phase {
	case corev1.PodSucceeded:
		p.Ended, p.Since = true, v.endedAt()
		p.Health.Status = Healthy
	case corev1.PodFailed:
		p.Ended, p.Since = true, v.endedAt()
		v.judgeFailed(&p)
	case corev1.PodPending, corev1.PodRunning:
		v.judgeAlive(&p)
	case "":
		p.Health = Health{Progressing, "not yet looked at by the scheduler"}
	default:
		p.Health = Health{Unknown, "unknown phase " + oneLine(string(v.Status.Phase))}
	}
	return p, nil
}

// judgeFailed names the kubelet's reason (Evicted, DeadlineExceeded, …) or else the container that ended badly.
func (v podView) judgeFailed(p *Pod) {
	for _, c := range v.containers() {
		if end := c.State.Terminated; end != nil && end.ExitCode != 0 {
			p.blame(c, endReason(end))
			p.Health = Health{Failed, c.label() + " " + howItEnded(end)}
			break
		}
	}
	if v.Status.Reason == "" && p.Reason != "" {
		return
	}
	p.Reason = cmp.Or(v.Status.Reason, "Failed")
	why := condition{Reason: v.Status.Reason, Message: v.Status.Message}
	p.Health = Health{Failed, cmp.Or(why.because(), "ended without success")}
}

func (v podView) judgeAlive(p *Pod) {
	p.Up = v.up()
	if v.condition(corev1.PodReady).Status == corev1.ConditionTrue {
		p.Health.Status, p.Relapse = Healthy, v.relapse()
		return
	}
	// The scheduler writes the condition by name, so a late write about a deleted pod can land on its successor of the
	// same name (a StatefulSet's), after that has got its node.
	if c := v.condition(corev1.PodScheduled); c.Status == corev1.ConditionFalse && v.Spec.NodeName == "" {
		p.Reason, p.lacks, p.claims = c.Reason, lacksNode, v.claims()
		p.Health = Health{Progressing, "has no node: " + oneLine(c.Message)}
		return
	}
	if v.judgeContainers(p) {
		return
	}
	text, lacks := v.notReady()
	p.Health, p.lacks = Health{Progressing, text}, lacks
}

// claims returns the names of the PersistentVolumeClaims that the pod mounts.
func (v podView) claims() string {
	var names []string
	for _, volume := range v.Spec.Volumes {
		if volume.PersistentVolumeClaim != nil {
			names = append(names, volume.PersistentVolumeClaim.ClaimName)
		}
	}
	return strings.Join(names, ",")
}

// up returns the time since which all long-running containers have been running, or zero.
func (v podView) up() time.Time {
	var last time.Time
	for _, c := range v.containers() {
		switch {
		case c.State.Running != nil && c.State.Running.StartedAt.After(last):
			last = c.State.Running.StartedAt.UTC()
		case c.State.Running == nil && !c.init:
			return time.Time{}
		}
	}
	return last
}

// notReady says what a pod without any trouble still waits for.
func (v podView) notReady() (string, lack) {
	for _, c := range v.containers() {
		switch {
		case c.Ready, c.init && c.started(), v.isDone(c):
		case c.State.Waiting != nil:
			return oneLine(c.label() + " is not started yet: " + cmp.Or(c.State.Waiting.Reason, "waiting")), lacksStart
		case c.init:
			return c.label() + " has not finished", ""
		case c.State.Running != nil:
			return c.label() + " is not ready", lacksReadiness
		}
	}
	if text := v.stillRuns(); text != "" {
		return text, ""
	}
	// A readiness gate is a condition that a controller outside the pod must set.
	if c := v.condition(corev1.PodReady); c.Reason == "ReadinessGatesNotReady" {
		return cmp.Or(oneLine(c.Message), "its readiness gates are not met"), ""
	}
	return "starting", ""
}

// isDone reports whether a container of a pod that is not restarted has finished its work.
func (v podView) isDone(c container) bool {
	return !c.init && !v.restartsAlways() && c.State.Terminated != nil && c.State.Terminated.ExitCode == 0
}

// stillRuns returns which container keeps a Job's pod from completing: often a proxy that nothing stops.
func (v podView) stillRuns() string {
	var done, runs string
	for _, c := range v.containers() {
		switch {
		case v.isDone(c):
			done = cmp.Or(done, oneLine(c.Name))
		case !c.init && c.State.Running != nil:
			runs = cmp.Or(runs, oneLine(c.Name))
		}
	}
	if done == "" || runs == "" {
		return ""
	}
	return fmt.Sprintf("container %s still runs after %s completed", runs, done)
}

// condition returns the pod's condition of that type, or the zero condition.
func (v podView) condition(name corev1.PodConditionType) corev1.PodCondition {
	i := slices.IndexFunc(v.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == name })
	if i < 0 {
		return corev1.PodCondition{}
	}
	return v.Status.Conditions[i]
}

// since returns the start of the grace period for this pod. The containers start after the init containers, which may
// take long.
func (v podView) since() time.Time {
	if c := v.condition(corev1.PodInitialized); c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
		return c.LastTransitionTime.UTC()
	}
	if v.Status.StartTime != nil && !v.Status.StartTime.IsZero() {
		return v.Status.StartTime.UTC()
	}
	return v.Metadata.CreationTimestamp.UTC()
}

// endedAt returns when the last container ended, or since if none did (an eviction, for example).
func (v podView) endedAt() time.Time {
	var last time.Time
	for _, c := range v.containers() {
		if end := c.State.Terminated; end != nil && end.FinishedAt.After(last) {
			last = end.FinishedAt.UTC()
		}
	}
	if last.IsZero() {
		return v.since()
	}
	return last
}

// describe names the pod and its trouble. Its workload's message contains this text.
func (p Pod) describe() string {
	return strings.TrimSpace(fmt.Sprintf("pod %s: %s", p.Name, p.Health.Message))
}
