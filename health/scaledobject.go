package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// scaledObject follows KEDA's condition Ready. While a ScaledObject is not active its workload rests, perhaps at
// zero, and has no metrics. It is then not Ready although nothing is wrong. A ScaledObject with invalid triggers is
// neither ready nor active.
func scaledObject(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[none, conditioned](obj)
	if err != nil {
		return Health{}, err
	}
	ready, active, paused := v.Status.Conditions.get("Ready"), v.Status.Conditions.get("Active"), v.Status.Conditions.get("Paused")
	switch {
	case paused.Status == "True":
		return Health{Suspended, "paused: " + paused.because()}, nil
	case ready.Status == "True", active.Status == "False":
		return healthy()
	case ready.Status == "" && active.Status == "":
		return progressing("not yet looked at by KEDA")
	}
	return progressing("not Ready: %s", ready.because())
}
