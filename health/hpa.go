package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// horizontalPodAutoscaler uses kstatus, which reads observedGeneration alone, because the autoscaler's conditions
// follow the load and not the rollout. ScalingActive is False until the new pods have metrics, or for good on a cluster
// without a metrics server. AbleToScale is False until its target exists. The rollout must wait for neither.
func horizontalPodAutoscaler(obj *unstructured.Unstructured) (Health, error) {
	return byConditions(obj)
}
