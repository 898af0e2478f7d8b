package health

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// The labels and annotations in which Kubernetes' controllers note the revision of a workload.
const (
	deploymentRevision = "deployment.kubernetes.io/revision"        // annotation of Deployment and ReplicaSet
	daemonSetRevision  = "deprecated.daemonset.template.generation" // annotation, deprecated but not replaced
	daemonPodRevision  = "pod-template-generation"                  // label
	statefulPodRev     = "controller-revision-hash"                 // label
)

// workloads are the kinds that have pods.
var workloads = map[schema.GroupKind]bool{
	{Group: "apps", Kind: "Deployment"}:        true,
	{Group: "apps", Kind: "StatefulSet"}:       true,
	{Group: "apps", Kind: "DaemonSet"}:         true,
	{Group: "apps", Kind: "ReplicaSet"}:        true,
	{Group: "", Kind: "ReplicationController"}: true,
	{Group: "batch", Kind: "Job"}:              true,
}

// HasPods reports whether objects of the kind create pods whose state matters for their health.
func HasPods(kind schema.GroupKind) bool { return workloads[kind] }

// Revision distinguishes the newest pods of a workload from older ones.
type Revision struct {
	kind string
	uid  types.UID
	// name is empty if all pods belong to the same revision.
	name string
	// unseen is true if the controller has not seen the newest change. Before that, the newest pods are
	// indistinguishable from the old ones, whose troubles the change may be about to fix.
	unseen bool
}

// RevisionOf returns the newest revision of a live workload.
func RevisionOf(obj *unstructured.Unstructured) Revision {
	r := Revision{kind: obj.GetKind(), uid: obj.GetUID()}
	switch r.kind {
	case "Deployment":
		r.name = obj.GetAnnotations()[deploymentRevision]
	case "DaemonSet":
		r.name = obj.GetAnnotations()[daemonSetRevision]
	case "StatefulSet":
		r.name, _, _ = unstructured.NestedString(obj.Object, "status", "updateRevision")
	case "Job":
		return r // its template never changes
	}
	observed, _, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	r.unseen = observed < obj.GetGeneration()
	return r
}

// MemberOf returns the controller of a pod or a ReplicaSet, and the controller's revision that the object belongs to.
func MemberOf(obj metav1.Object) (owner types.UID, revision string) {
	controller := metav1.GetControllerOf(obj)
	if controller == nil {
		return "", ""
	}
	switch controller.Kind {
	case "Deployment":
		revision = obj.GetAnnotations()[deploymentRevision]
	case "StatefulSet":
		revision = obj.GetLabels()[statefulPodRev]
	case "DaemonSet":
		revision = obj.GetLabels()[daemonPodRevision]
	}
	return controller.UID, revision
}

// Members knows the pods and ReplicaSets of a namespace, and the events about them.
type Members interface {
	// PodsOf returns an owner's pods of a revision, or all of them if the revision is empty.
	PodsOf(owner types.UID, revision string) []Pod
	// ReplicaSetsOf does the same for ReplicaSets.
	ReplicaSetsOf(owner types.UID, revision string) []types.UID
	// EventsOf returns the events about an object.
	EventsOf(object types.UID) []Event
}

// Newest returns the pods of the newest revision, by name, and the events about the objects that create them: the
// workload and its ReplicaSets. While the newest revision is unknown, it returns no pods.
func (r Revision) Newest(of Members) ([]Pod, []Event) {
	events := of.EventsOf(r.uid)
	makers, revision := []types.UID{r.uid}, r.name
	switch {
	case r.unseen || r.uid == "" || r.kind == "Deployment" && r.name == "":
		return nil, events
	case r.kind == "Deployment":
		makers, revision = of.ReplicaSetsOf(r.uid, r.name), ""
	}
	var pods []Pod
	for _, maker := range makers {
		pods = append(pods, of.PodsOf(maker, revision)...)
		if maker != r.uid {
			events = slices.Concat(events, of.EventsOf(maker))
		}
	}
	slices.SortFunc(pods, func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) })
	return pods, events
}
