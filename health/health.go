// Package health judges whether a live Kubernetes object has settled, and explains why if it has not.
//
// [Of] judges one object by its own fields, without a clock or a request. Kinds with rules of their own have a file
// each; all others follow the conventions of kstatus. [OfPod] reduces a pod to what its workload needs to know of it.
// [Rollout] joins the two with events. A rollout that cannot succeed fails early and in the words of its pod. One that
// seems to have succeeded has settled only when its pods stay up.
//
// Failed means that the object does not recover without a change, so a gate fails at once. A state that may still pass
// is Progressing, with the reason. Some objects wait for another actor, such as a first consumer or a controller that
// is not installed. They are Healthy, because no gate should wait for that.
//
// Of reads only an object's kind, its metadata, its status and the small fields of its spec, never a template. Callers
// may drop templates, once they have kept the [TrialOf] of a workload.
package health

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Status is the health of an object in one word.
type Status string

const (
	Healthy     Status = "Healthy"     // it has settled as its spec asks, or nothing needs to settle
	Progressing Status = "Progressing" // it is still on its way
	Failed      Status = "Failed"      // it does not recover without a change
	Suspended   Status = "Suspended"   // paused by a user, so it does not move
	Terminating Status = "Terminating" // it is being deleted
	Unknown     Status = "Unknown"     // its status cannot be understood
)

// Health is a judgement of one object.
type Health struct {
	Status Status
	// Message is the reason, in one line without timestamps, whenever Status is not Healthy. For a Healthy object it
	// is empty, unless that is a guess: then it says what could not be judged.
	Message string
}

// judge is the rule of one kind for an object that is not being deleted. An error means that the object does not have
// the shape of its kind.
type judge func(*unstructured.Unstructured) (Health, error)

// judges holds the kinds with rules of their own; kinds that are only in plain are Healthy as soon as they exist.
var judges = map[schema.GroupKind]judge{
	{Group: "apps", Kind: "Deployment"}:                               deployment,
	{Group: "apps", Kind: "StatefulSet"}:                              statefulSet,
	{Group: "apps", Kind: "DaemonSet"}:                                daemonSet,
	{Group: "apps", Kind: "ReplicaSet"}:                               replicaSet,
	{Group: "", Kind: "ReplicationController"}:                        replicaSet,
	{Group: "batch", Kind: "Job"}:                                     job,
	{Group: "batch", Kind: "CronJob"}:                                 cronJob,
	{Group: "", Kind: "Pod"}:                                          pod,
	{Group: "", Kind: "PersistentVolumeClaim"}:                        persistentVolumeClaim,
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:           horizontalPodAutoscaler,
	{Group: "keda.sh", Kind: "ScaledObject"}:                          scaledObject,
	{Group: "policy", Kind: "PodDisruptionBudget"}:                    podDisruptionBudget,
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: customResourceDefinition,
	{Group: "apiregistration.k8s.io", Kind: "APIService"}:             apiService,
}

// Of judges one live object alone. Objects of the kinds for which [Needs] is false may come with their metadata only.
// Of never panics: an object that it cannot read is Unknown.
func Of(obj *unstructured.Unstructured) Health {
	if obj == nil || obj.Object == nil {
		return Health{Unknown, "there is no object to judge"}
	}
	if obj.GetDeletionTimestamp() != nil {
		return Health{Terminating, terminating(obj)}
	}
	kind := obj.GroupVersionKind().GroupKind()
	rule, known := judges[kind]
	switch {
	case known:
	case plain[kind]:
		return Health{Status: Healthy}
	default:
		rule = byConditions
	}
	h, err := rule(obj)
	if err != nil {
		return unreadable(err)
	}
	return h
}

func unreadable(err error) Health {
	return Health{Unknown, "cannot read its status: " + oneLine(err.Error())}
}

// Needs reports whether objects of the kind must be watched whole to judge them. If not, existence and metadata are
// enough.
func Needs(kind schema.GroupKind) bool {
	return !plain[kind]
}

// view holds the fields of an object that a rule reads.
type view[Spec, State any] struct {
	Metadata struct {
		Generation  int64             `json:"generation"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec   Spec  `json:"spec"`
	Status State `json:"status"`
}

// none is the Spec or State of a view that does not use it.
type none struct{}

// read fills a view. A field of the wrong type is an error, a missing one is left zero.
func read[Spec, State any](obj *unstructured.Unstructured) (view[Spec, State], error) {
	var v view[Spec, State]
	err := fromContent(obj, &v)
	return v, err
}

// fromContent fills the fields of into, a pointer to a struct, that the object has.
func fromContent(obj *unstructured.Unstructured, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, into)
}

// unseen is the judgement of an object whose newest generation its controller has not seen yet: its status is about
// an older one.
var unseen = Health{Progressing, "its controller has not seen the newest change yet"}

func progressing(format string, args ...any) (Health, error) {
	return Health{Progressing, fmt.Sprintf(format, args...)}, nil
}

func failed(format string, args ...any) (Health, error) {
	return Health{Failed, fmt.Sprintf(format, args...)}, nil
}

func healthy() (Health, error) {
	return Health{Status: Healthy}, nil
}

// maxMessage bounds the text taken from a status that others write, in runes.
const maxMessage = 400

// oneLine makes foreign text fit for a message: one line of bounded length.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if runes := []rune(text); len(runes) > maxMessage {
		return string(runes[:maxMessage-1]) + "…"
	}
	return text
}
