package apply

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/plan"
)

// autoscalers is the resource of autoscalers. KEDA creates one for each of its own objects.
var autoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}

// seek looks for the autoscaler of an object whose replicas have no owner, as after scaling to zero. If there is one, it
// keeps the number of replicas; otherwise a user has scaled, and Git's number is restored.
func (r *run) seek(ctx context.Context, s plan.Step) plan.Step {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	list, err := r.dynamic.Resource(autoscalers).Namespace(s.Key.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return s
	}
	for _, a := range list.Items {
		target, _, _ := unstructured.NestedStringMap(a.Object, "spec", "scaleTargetRef")
		if target["kind"] == s.Key.Kind && target["name"] == s.Key.Name && a.GetDeletionTimestamp() == nil {
			return s.ScaledTo(a.GetKind() + "/" + a.GetName())
		}
	}
	return s
}
