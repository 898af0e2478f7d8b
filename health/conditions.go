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
// Reconciling, Stalled and Ready. An object with none of them is Healthy, since many kinds never have any.
//
// One correction: some controllers keep observedGeneration only in each condition, which kstatus does not read, so a
// Ready condition from before the newest change would pass for the present.
func byConditions(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[none, conditioned](obj)
	if err != nil {
		return Health{}, err
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
		return Health{}, err
	}
	return translate(result), nil
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
