package health

import (
	"bytes"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

type deploymentSpec struct {
	Replicas *int32 `json:"replicas"`
	Paused   bool   `json:"paused"`
	Strategy struct {
		RollingUpdate struct {
			MaxUnavailable *intstr.IntOrString `json:"maxUnavailable"`
		} `json:"rollingUpdate"`
	} `json:"strategy"`
}

type deploymentStatus struct {
	conditioned
	Replicas            int32 `json:"replicas"`
	UpdatedReplicas     int32 `json:"updatedReplicas"`
	ReadyReplicas       int32 `json:"readyReplicas"`
	AvailableReplicas   int32 `json:"availableReplicas"`
	TerminatingReplicas int32 `json:"terminatingReplicas"`
}

// deployment counts as `kubectl rollout status` does, and fails where the controller gave up or its pods are refused.
func deployment(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[deploymentSpec, deploymentStatus](obj)
	if err != nil {
		return Health{}, err
	}
	if v.Status.ObservedGeneration == 0 || v.Status.ObservedGeneration < v.Metadata.Generation {
		return unseen, nil
	}
	want := ptr.Deref(v.Spec.Replicas, 1)
	count := deploymentCount(want, v.Status)
	if v.Spec.Paused {
		return paused(obj, v.Status, count), nil
	}
	if count == "" {
		return healthy()
	}
	h := Health{Progressing, count}
	if c := v.Status.Conditions.get("ReplicaFailure"); c.Status == "True" {
		h = refused(c, deploymentRoom(want, v.Spec, v.Status))
	}
	if c := v.Status.Conditions.get("Progressing"); c.Reason == "ProgressDeadlineExceeded" && !isOfBefore(c, obj) {
		h = Health{Failed, h.Message + ": " + oneLine(c.Message)}
	}
	return h, nil
}

// paused judges a deployment that is paused: it has settled unless pods of an older template run. Those are not
// replaced before a user resumes it.
func paused(obj *unstructured.Unstructured, s deploymentStatus, count string) Health {
	if s.Replicas <= s.UpdatedReplicas {
		return Health{Suspended, "paused: changes are not rolled out until it is resumed"}
	}
	by, next := pausedBy(obj), "kubectl rollout resume deployment/"+obj.GetName()+" -n "+obj.GetNamespace()
	if by == "berth" {
		by, next = "Git", "remove spec.paused from Git"
	}
	return Health{Progressing, fmt.Sprintf("%s, and the rollout is paused by %s; to go on: %s", count, by, next)}
}

// pausedBy names the field manager that paused a deployment.
func pausedBy(obj *unstructured.Unstructured) string {
	for _, e := range obj.GetManagedFields() {
		if e.Subresource == "" && e.FieldsV1 != nil && bytes.Contains(e.FieldsV1.GetRawBytes(), []byte(`"f:paused":`)) {
			return e.Manager
		}
	}
	return "spec.paused"
}

// isOfBefore reports whether a condition is older than the newest write of the spec, as far as visible. A deployment
// that goes back to an earlier template has the ReplicaSet for it already. Its controller has then seen the new
// generation, but keeps the failure of the previous rollout until the first pod has moved. So a revert would fail
// with the problem that it fixes. The times are in whole seconds; no rollout is given up within one.
func isOfBefore(c condition, obj *unstructured.Unstructured) bool {
	text, _ := c.LastUpdateTime.(string)
	updated, err := time.Parse(time.RFC3339, text)
	written := writtenAt(obj.GetManagedFields(), writesSpec)
	return err == nil && !written.IsZero() && !updated.After(written)
}

// writesSpec reports whether a write changed the spec.
func writesSpec(e metav1.ManagedFieldsEntry) bool {
	return e.Subresource == "" && e.FieldsV1 != nil && bytes.Contains(e.FieldsV1.GetRawBytes(), []byte(`"f:spec":`))
}

// deploymentCount returns the progress of the rollout; empty when it is complete.
func deploymentCount(want int32, s deploymentStatus) string {
	old := max(0, s.Replicas-s.UpdatedReplicas)
	switch {
	case s.UpdatedReplicas < want:
		return countOf(s.UpdatedReplicas, want, "updated")
	case old > 0 && s.ReadyReplicas >= s.Replicas:
		return waitFor(old, "old")
	case old > 0:
		// The status does not count the new ready pods separately; old ones are kept while they are ready.
		return countOf(max(0, s.ReadyReplicas-old), want, "ready") + ", until then " + plural(old, "old pod") + " kept"
	case s.Replicas > want:
		return waitFor(s.Replicas-want, "surplus")
	case s.ReadyReplicas < want:
		return countOf(s.ReadyReplicas, want, "ready")
	case s.AvailableReplicas < want:
		return countOf(s.AvailableReplicas, want, "available")
	}
	return ""
}

// deploymentRoom reports whether pods of the deployment end before its new ones are ready. Then a quota that is used up
// may become free.
func deploymentRoom(want int32, spec deploymentSpec, s deploymentStatus) room {
	if s.TerminatingReplicas > 0 {
		return madeRoom
	}
	unavailable := ptr.Deref(spec.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
	n, err := intstr.GetScaledValueFromIntOrPercent(&unavailable, int(want), false)
	if err == nil && n > 0 && s.Replicas > s.UpdatedReplicas {
		return madeRoom
	}
	return noRoom
}
