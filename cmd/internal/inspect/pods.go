package inspect

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
)

// Pod is a pod of a workload, of its newest revision or an older one.
type Pod struct {
	Name      string        `json:"name"`
	Health    health.Status `json:"health"`
	Message   string        `json:"message,omitempty"`
	Restarts  int64         `json:"restarts,omitempty"`
	CreatedAt metav1.Time   `json:"createdAt,omitzero"`
	// Containers are the names of its containers, in the order of its spec.
	Containers []string `json:"containers,omitempty"`
}

// podsOf returns the pods of a workload, the newest first.
func (d *dependants) podsOf(workload *unstructured.Unstructured) []Pod {
	owners := []types.UID{workload.GetUID()}
	if workload.GetKind() == "Deployment" {
		owners = d.ReplicaSetsOf(workload.GetUID(), "")
	}
	var pods []Pod
	for n := range d.pods {
		if controller := metav1.GetControllerOf(&d.pods[n]); controller != nil && slices.Contains(owners, controller.UID) {
			pods = append(pods, podOf(&d.pods[n]))
		}
	}
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt.Time), cmp.Compare(a.Name, b.Name))
	})
	return pods
}

func podOf(object *unstructured.Unstructured) Pod {
	h := health.OfPod(object).Health
	pod := Pod{Name: object.GetName(), Health: h.Status, Message: h.Message, CreatedAt: object.GetCreationTimestamp()}
	for _, container := range mapsIn(object, "spec", "containers") {
		name, _, _ := unstructured.NestedString(container, "name")
		pod.Containers = append(pod.Containers, name)
	}
	for _, status := range mapsIn(object, "status", "containerStatuses") {
		restarts, _, _ := unstructured.NestedInt64(status, "restartCount")
		pod.Restarts += restarts
	}
	return pod
}

// mapsIn returns the maps of a list in an object.
func mapsIn(object *unstructured.Unstructured, fields ...string) []map[string]any {
	items, _, _ := unstructured.NestedSlice(object.Object, fields...)
	var found []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}
