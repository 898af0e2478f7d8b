package health

import (
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Event is something that a component of the cluster said about a pod, about what makes pods, or about a claim, and
// that their statuses do not say.
type Event struct {
	// Reason is the component's word, such as FailedMount; Message its text.
	Reason, Message string
	// Time is when it happened last, UTC.
	Time time.Time
}

// Subject is what an event is about.
type Subject struct {
	UID                   types.UID
	Kind, Namespace, Name string
}

// told are the reasons of events from which a rollout can be explained.
var told = map[string]bool{
	"FailedMount": true, "FailedAttachVolume": true, "FailedMapVolume": true, // the kubelet; the attach-detach controller
	"FailedCreatePodSandBox": true, "NetworkNotReady": true, // the kubelet
	"Unhealthy":          true,                        // the kubelet: a probe
	"FailedCreate":       true,                        // whatever makes pods
	"ProvisioningFailed": true, "FailedBinding": true, // the volume controller, about a claim
}

// EventOf reduces an object of the kind Event, of either API. It reports false for an event that explains nothing.
func EventOf(obj *unstructured.Unstructured) (Subject, Event, bool) {
	var e corev1.Event
	if fromContent(obj, &e) != nil || !told[e.Reason] {
		return Subject{}, Event{}, false
	}
	about := Subject{e.InvolvedObject.UID, e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name}
	message := strings.TrimPrefix(e.Message, "(combined from similar events): ") // what client-go makes of many
	return about, Event{Reason: e.Reason, Message: oneLine(message), Time: happened(e)}, true
}

// happened is when an event happened last, whichever of the two APIs it was written through.
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

// Explained returns the pod with a reason from the events about it, where its status gives none. about returns the
// events about a claim of its namespace.
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

// newest returns the last of the events that the condition takes, the zero event if there is none.
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

// isOfStart reports whether an event says why no container is started.
func isOfStart(e Event) bool {
	switch e.Reason {
	case "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady":
		return true
	}
	return false
}

// isTelling leaves out the kubelet's summary of what it waited for, which comes after the cause and does not name it.
func isTelling(e Event) bool {
	return isOfStart(e) && !strings.HasPrefix(e.Message, "Unable to attach or mount volumes")
}

// isOf takes the events of probes of the given types.
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

// address is an IP address before a port: each pod has another.
var address = regexp.MustCompile(`(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):`)

// probe says why a probe fails. What a command printed is left out: it may hold a piece of a log, and that a secret.
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

// id is a container's or a sandbox's, which is another at each attempt.
var id = regexp.MustCompile(`"?\b[0-9a-f]{64}\b"?`)

// withoutIDs shortens a text of the container runtime to its cause.
func withoutIDs(message string) string {
	if _, cause, found := strings.Cut(message, "desc = "); found {
		message = cause
	}
	return strings.Join(strings.Fields(id.ReplaceAllString(message, "")), " ")
}

// refusedByEvent is the workload's own health, with the refusal of its newest pods that only an event tells: StatefulSets,
// DaemonSets and Jobs keep no condition about it. An event from before the newest pod, or before the newest change of the
// spec, tells of what has passed.
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

// withoutAttempt drops what the controllers say before the API server's words.
func withoutAttempt(message string) string {
	if _, reason, ok := strings.Cut(message, " failed error: "); ok {
		return reason
	}
	return strings.TrimPrefix(message, "Error creating: ")
}
