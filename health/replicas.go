package health

import (
	"fmt"
	"strings"
)

// countOf returns the usual message of a workload on its way, such as "1 of 3 ready".
func countOf(have, want int32, what string) string {
	return fmt.Sprintf("%d of %d %s", have, want, what)
}

func plural(n int32, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func waitFor(n int32, which string) string {
	return "waiting for " + plural(n, which+" pod") + " to end"
}

// room says whether pods of a workload's own are about to end, which frees a quota.
type room int

const (
	noRoom room = iota
	madeRoom
)

// refused judges a workload by its ReplicaFailure condition: the API server refuses its controller's requests to
// create or delete pods. Most refusals pass, such as that of a ServiceAccount which a new namespace does not have
// yet. Those in lasting do not, except that ending pods of the workload may free a quota.
func refused(c condition, r room) Health {
	if c.Reason == "FailedDelete" {
		return Health{Progressing, "cannot delete pods: " + oneLine(c.Message)}
	}
	message := "cannot create pods: " + oneLine(withoutPodName(c.Message))
	if !lasting(c.Message) || r == madeRoom && strings.Contains(c.Message, "exceeded quota") {
		return Health{Progressing, message}
	}
	return Health{Failed, message}
}

// withoutPodName drops the start of `pods "api-5d8f7b5c9d-x7k2p" is forbidden: …`: the name differs at every attempt,
// and no such pod exists.
func withoutPodName(message string) string {
	if rest, ok := strings.CutPrefix(message, `pods "`); ok {
		if _, reason, ok := strings.Cut(rest, `" is forbidden: `); ok {
			return reason
		}
	}
	return message
}

// lasting reports whether the API server's refusal of a pod lasts until a user changes something. A webhook's refusal
// does not count: many only say that an image is not signed, or not there, yet.
func lasting(message string) bool {
	for _, text := range []string{
		"exceeded quota",             // ResourceQuota: used up
		"failed quota",               // ResourceQuota: the pod lacks a request or limit that is counted
		"violates PodSecurity",       // PodSecurity
		"usage per Container is",     // LimitRanger: below the minimum or above the maximum
		"usage per Pod is",           // LimitRanger
		"limit to request ratio per", // LimitRanger
		"no PriorityClass with name", // Priority
		`RuntimeClass "`,             // RuntimeClass: not found
		"denied request: ",           // ValidatingAdmissionPolicy
		" is invalid: ",              // only found by the pod's validation
	} {
		if strings.Contains(message, text) {
			return true
		}
	}
	return false
}
