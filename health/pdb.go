package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// podDisruptionBudget is Healthy once its status is computed. The number of disruptions that it allows is not its
// health.
func podDisruptionBudget(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[none, conditioned](obj)
	if err != nil {
		return Health{}, err
	}
	// The controller retries, and succeeds as soon as the pods have a controller that it can query.
	if c := v.Status.Conditions.get("DisruptionAllowed"); c.Reason == "SyncFailed" {
		return progressing("cannot be computed: %s", oneLine(c.Message))
	}
	if v.Status.ObservedGeneration == 0 || v.Status.ObservedGeneration < v.Metadata.Generation {
		return unseen, nil
	}
	return healthy()
}
