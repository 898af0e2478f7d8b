package health

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// condition holds the fields that the conditions of all kinds have in common.
type condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	ObservedGeneration int64  `json:"observedGeneration"`
	// LastUpdateTime is set in Deployments; in other kinds it may hold anything.
	LastUpdateTime any `json:"lastUpdateTime"`
}

// because returns the condition's reason and message in one line.
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

// byConditions judges kinds without a rule of their own as kstatus does: by observedGeneration and the conditions
// Reconciling, Stalled and Ready. An object with none of them is Healthy, since many kinds never have any. An object
// whose status does not follow these conventions is Healthy too; its message says so, and how to judge it better.
//
// It corrects kstatus in one point. Some controllers keep observedGeneration only in each condition, which kstatus
// does not read. A Ready condition from before the newest change would then count as current.
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

// unconventional judges a custom resource whose status follows no known convention: it exists, and only its author
// knows more.
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
