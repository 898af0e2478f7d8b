package output

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// mask stands for a value that is not shown.
const mask = "***"

// lastApplied is where kubectl keeps a copy of everything, values included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Masked returns an object that can be shown: a Secret without its values, any other as it is.
func Masked(obj *unstructured.Unstructured) *unstructured.Unstructured {
	if obj.GetAPIVersion() != "v1" || obj.GetKind() != "Secret" {
		return obj
	}
	obj = obj.DeepCopy()
	for _, field := range []string{"data", "stringData"} {
		switch values := obj.Object[field].(type) {
		case nil:
		case map[string]any:
			for key := range values {
				values[key] = mask
			}
		default:
			obj.Object[field] = mask
		}
	}
	if annotations := obj.GetAnnotations(); annotations[lastApplied] != "" {
		annotations[lastApplied] = mask
		obj.SetAnnotations(annotations)
	}
	return obj
}
