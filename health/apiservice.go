package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// apiService follows the aggregator's Available condition, which is False while the pods behind it start.
func apiService(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[none, conditioned](obj)
	if err != nil {
		return Health{}, err
	}
	switch c := v.Status.Conditions.get("Available"); c.Status {
	case "True":
		return healthy()
	case "False":
		return progressing("not available: %s", c.because())
	}
	return progressing("not yet looked at by the API server")
}
