package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// customResourceDefinition is Healthy once Established, which means that objects of its kind can be created.
func customResourceDefinition(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[none, conditioned](obj)
	if err != nil {
		return Health{}, err
	}
	if c := v.Status.Conditions.get("NamesAccepted"); c.Status == "False" {
		return failed("its names are not accepted: %s", c.because())
	}
	switch c := v.Status.Conditions.get("Established"); {
	case c.Status == "True":
		return healthy()
	case c.Status == "False" && c.Reason != "Installing":
		return failed("cannot be established: %s", c.because())
	}
	return progressing("not established yet")
}
