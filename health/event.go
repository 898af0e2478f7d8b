package health

import (
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Event is a message of a component of the cluster about a pod, about the object that creates pods, or about a claim.
// It says what their statuses do not.
type Event struct {
	// Reason is the component's word, such as FailedMount; Message its text.
	Reason, Message string
	// Time is when it last happened, UTC.
	Time time.Time
}

// Subject identifies the object that an event is about.
type Subject struct {
	UID                   types.UID
	Kind, Namespace, Name string
}

// told are the reasons of events that can explain a rollout.
var told = map[string]bool{
	"FailedMount": true, "FailedAttachVolume": true, "FailedMapVolume": true, // the kubelet; the attach-detach controller
	"FailedCreatePodSandBox": true, "NetworkNotReady": true, // the kubelet
	"Unhealthy":          true,                        // the kubelet: a probe
	"FailedCreate":       true,                        // any controller that creates pods
	"ProvisioningFailed": true, "FailedBinding": true, // the volume controller, about a claim
}

// EventOf reduces an object of the kind Event, of either API. It returns false for an event that explains nothing.
func EventOf(obj *unstructured.Unstructured) (Subject, Event, bool) {
	var e corev1.Event
	if fromContent(obj, &e) != nil || !told[e.Reason] {
		return Subject{}, Event{}, false
	}
	about := Subject{e.InvolvedObject.UID, e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name}
	message := strings.TrimPrefix(e.Message, "(combined from similar events): ") // the prefix of client-go for combined events
	return about, Event{Reason: e.Reason, Message: oneLine(message), Time: happened(e)}, true
}

// happened returns when an event last happened, whichever of the two APIs wrote it.
func happened(e corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.UTC()
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.UTC()
	case !e.EventTime.IsZero():
		return e.EventTime.UTC()
	}
	return e.CreationTimestamp.UTC()
}

// Explained returns the pod with a reason from its events, if its status gives none. about returns the events about a
// claim of its namespace.
func (p Pod) Explained(events []Event, about func(claim string) []Event) Pod {
	if p.Ended {
		return p
	}
	switch {
	case p.lacks == lacksNode && p.claims != "":
		for _, claim := range strings.Split(p.claims, ",") {
			if e := newest(about(claim), isClaims); e.Reason != "" {
				p.Health.Message = oneLine(p.Health.Message + "; PersistentVolumeClaim/" + claim + ": " + e.Message)
			}
		}
	case p.lacks == lacksStart:
		e := newest(events, isTelling)
		if e.Reason == "" {
			e = newest(events, isOfStart)
		}
		if e.Reason != "" {
			p.Reason = e.Reason
			p.Health.Message = oneLine(p.Health.Message + ": " + e.Reason + ": " + withoutIDs(e.Message))
		}
	case p.lacks == lacksReadiness:
		if why := newest(events, isOf("Readiness", "Startup")).probe(); why != "" {
			p.Health.Message = oneLine(p.Health.Message + ": " + why)
		}
	}
	if why := newest(events, isOf("Liveness", "Startup")).probe(); why != "" {
		if p.Restarts > 0 && p.Health.Status != Healthy {
			p.Health.Message = oneLine(p.Health.Message + "; its " + why)
		}
		if p.Relapse.Restarts > 0 {
			p.Relapse.Health.Message = oneLine(p.Relapse.Health.Message + "; its " + why)
		}
	}
	return p
}

// newest returns the newest event that satisfies the condition, or the zero event.
func newest(events []Event, takes func(Event) bool) Event {
	var last Event
	for _, e := range events {
		if takes(e) && (last.Reason == "" || e.Time.After(last.Time)) {
			last = e
		}
	}
	return last
}

func isClaims(e Event) bool { return e.Reason == "ProvisioningFailed" || e.Reason == "FailedBinding" }

// isOfStart reports whether an event explains why no container starts.
func isOfStart(e Event) bool {
	switch e.Reason {
	case "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady":
		return true
	}
	return false
}

// isTelling excludes the kubelet's summary of its wait, which comes after the cause and does not name it.
func isTelling(e Event) bool {
	return isOfStart(e) && !strings.HasPrefix(e.Message, "Unable to attach or mount volumes")
}

// isOf selects the events of probes of the given types.
func isOf(types ...string) func(Event) bool {
	return func(e Event) bool {
		for _, name := range types {
			if e.Reason == "Unhealthy" && strings.HasPrefix(e.Message, name+" probe ") {
				return true
			}
		}
		return false
	}
}

// address matches an IP address before a port, which differs between pods.
var address = regexp.MustCompile(`(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):`)

// probe says why a probe fails. It leaves out the output of a command, which may hold a part of a log with a secret.
func (e Event) probe() string {
	what, why, ok := strings.Cut(e.Message, " probe failed: ")
	if !ok {
		return ""
	}
	what = strings.ToLower(what) + " probe failed"
	for _, own := range []string{"HTTP probe failed", "Get \"", "dial tcp", "timeout: ", "service unhealthy"} {
		if strings.HasPrefix(why, own) {
			return what + ": " + address.ReplaceAllString(why, ":")
		}
	}
	return what
}

// id matches a container's or a sandbox's id, which differs at each attempt.
var id = regexp.MustCompile(`"?\b[0-9a-f]{64}\b"?`)

// withoutIDs shortens a text of the container runtime to its cause.
func withoutIDs(message string) string {
	if _, cause, found := strings.Cut(message, "desc = "); found {
		message = cause
	}
	return strings.Join(strings.Fields(id.ReplaceAllString(message, "")), " ")
}

// refusedByEvent returns the workload's own health, with the refusal of its newest pods if only an event reports it:
// StatefulSets, DaemonSets and Jobs keep no condition about it. An event from before the newest pod, or before the
// newest change of the spec, is out of date.
func refusedByEvent(r Rollout) Health {
	h := r.Workload
	e := newest(r.Events, func(e Event) bool { return e.Reason == "FailedCreate" })
	since := r.Trial.Written
	for _, p := range r.Pods {
		if p.Since.After(since) {
			since = p.Since
		}
	}
	if e.Reason == "" || e.Time.Before(since) || strings.Contains(h.Message, "cannot create pods: ") {
		return h
	}
	refusal := refused(condition{Reason: e.Reason, Message: withoutAttempt(e.Message)}, madeRoom)
	if refusal.Status == Failed && e.Time.After(since) {
		h.Status = Failed
	}
	h.Message = join(h.Message, refusal.Message)
	return h
}

// withoutAttempt drops the controller's words before those of the API server.
func withoutAttempt(message string) string {
	if _, reason, ok := strings.Cut(message, " failed error: "); ok {
		return reason
	}
	return strings.TrimPrefix(message, "Error creating: ")
}
