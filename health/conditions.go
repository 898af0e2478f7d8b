package health

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// condition is what all kinds' conditions have in common.
type condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	ObservedGeneration int64  `json:"observedGeneration"`
	// LastUpdateTime is what Deployments have; in other kinds it may be anything.
	LastUpdateTime any `json:"lastUpdateTime"`
}

// because is the condition's reason and message in one line.
func (c condition) because() string {
	switch {
	case c.Message == "":
		return oneLine(c.Reason)
	case c.Reason == "":
		return oneLine(c.Message)
	}
	return oneLine(c.Reason + ": " + c.Message)
}

// conditions are the conditions of one object.
type conditions []condition

// get returns the condition of that type, or the zero condition, whose Status is neither True nor False.
func (cs conditions) get(name string) condition {
	for _, c := range cs {
		if c.Type == name {
			return c
		}
	}
	return condition{}
}

// conditioned is the status of any kind that follows the conventions for conditions.
type conditioned struct {
	ObservedGeneration int64      `json:"observedGeneration"`
	Conditions         conditions `json:"conditions"`
}

// byConditions judges kinds that are not known here as kstatus does: by observedGeneration and the conditions
// Reconciling, Stalled and Ready. An object with none of them is Healthy, since many kinds never have any. So is one
// whose status does not have the shape of these conventions; its message says so, and what to do about it.
//
// One correction: some controllers keep observedGeneration only in each condition, which kstatus does not read, so a
// Ready condition from before the newest change would pass for the present.
func byConditions(obj *unstructured.Unstructured) (Health, error) {
	obj, err := conventional(obj)
	if err != nil {
		return unconventional(err), nil
	}
	v, err := read[none, conditioned](obj)
	if err != nil {
		return unconventional(err), nil
	}
	observed := v.Status.ObservedGeneration
	if observed == 0 {
		observed = v.Status.Conditions.get("Ready").ObservedGeneration
	}
	if observed != 0 && observed < v.Metadata.Generation {
		return unseen, nil
	}
	result, err := kstatus.Compute(obj)
	if err != nil {
		return unconventional(err), nil
	}
	return translate(result), nil
}

// unconventional is the judgement of a custom resource whose status follows no convention that is known here: it is
// there, and only its author knows more.
func unconventional(err error) Health {
	return Health{Healthy, oneLine("counts as healthy because it exists: its status cannot be read: "+err.Error()) +
		"; say how to judge it in the entry's health.expressions"}
}

func translate(result *kstatus.Result) Health {
	why := condition{Message: result.Message}
	if len(result.Conditions) > 0 {
		why.Reason = result.Conditions[0].Reason
	}
	message := why.because()
	if message == "" {
		message = "its conditions give no reason"
	}
	switch result.Status {
	case kstatus.CurrentStatus:
		return Health{Status: Healthy}
	case kstatus.InProgressStatus:
		return Health{Progressing, message}
	case kstatus.FailedStatus:
		return Health{Failed, message}
	}
	return Health{Unknown, fmt.Sprintf("kstatus calls it %s: %s", result.Status, message)}
}
