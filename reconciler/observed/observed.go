// Package observed reduces objects of the cluster to what a plan compares: marks, ownership of fields, the tool that an
// object belongs to, runs of Jobs, and health. It is pure; the watches and the plan share it.
package observed

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// Object is one object of the cluster, reduced as it arrives. It holds no spec and no data: a thousand environments fit
// in little memory, and no Secret stays in it.
type Object struct {
	Key             manifest.Key
	APIVersion      string
	UID             types.UID
	ResourceVersion string
	// Environment, Digest and Prune are the marks that the object bears. Order has the marks that decide its position.
	Environment, Digest, Prune string
	// Proof shows that Berth wrote Digest for this very object. It is empty if an older version of Berth, without
	// proofs, wrote the object.
	Proof string
	Order Order
	// Ownership is the ownership hash; empty if Berth never applied the object.
	Ownership string
	// Deleting says that the object has a deletionTimestamp. Finalizers are those that block the deletion.
	Deleting   bool
	Finalizers []string
	// Controlled says that another object is its controller.
	Controlled bool
	Health     health.Health
	// Blamed is the container whose log may explain Health; nil: none is known.
	Blamed *Container
	// Recheck is when Health may change without the object changing; zero: never.
	Recheck time.Time
	// Job is set for Jobs only.
	Job *Job
	// Added is what users have added; nil for nothing.
	Added *Additions
	// Replicas says that Berth applied the number of replicas and still owns it.
	Replicas bool
	// Scaler is the field manager that took the number of replicas from Berth by scaling the object. Rival is the field
	// manager that wrote the object last, if that was after Berth.
	Scaler, Rival string
	// Enlarged is the size that a claim asks for, if another field manager took that field from Berth; else empty.
	Enlarged string
	// Tool names the tool that the object belongs to. It is empty for objects of an environment.
	Tool string
}

// Order is what an object says about its position among others: its wave, and what it depends on.
type Order struct{ Wave, DependsOn string }

// Container is a container of a pod.
type Container struct{ Pod, Name string }

// Reduce reduces an object of the cluster that was read whole.
func Reduce(obj *unstructured.Unstructured) Object {
	o := ReduceMetadata(obj, obj.GroupVersionKind())
	o.Health = health.Of(obj)
	if manifest.IsJob(o.Key.GroupKind()) {
		o.Job = reduceJob(obj)
	}
	o.Enlarged = enlarged(obj)
	return o
}

// ReduceMetadata reduces an object with only its metadata. Such an object counts as healthy because it exists.
func ReduceMetadata(obj metav1.Object, gvk schema.GroupVersionKind) Object {
	annotations := obj.GetAnnotations()
	digest, proof := manifest.ReadMark(annotations[manifest.AnnotationDigest])
	fields := obj.GetManagedFields() // once: an unstructured object converts them every time
	o := Object{
		Key:             manifest.Key{Group: gvk.Group, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()},
		APIVersion:      gvk.GroupVersion().String(),
		UID:             obj.GetUID(),
		ResourceVersion: obj.GetResourceVersion(),
		Environment:     obj.GetLabels()[manifest.LabelEnvironment],
		Digest:          digest,
		Proof:           proof,
		Prune:           pruneMark(annotations, fields),
		Order:           Order{Wave: annotations[manifest.AnnotationWave], DependsOn: annotations[manifest.AnnotationDependsOn]},
		Ownership:       Ownership(fields),
		Deleting:        obj.GetDeletionTimestamp() != nil,
		Controlled:      metav1.GetControllerOf(obj) != nil,
		Health:          health.Health{Status: health.Healthy},
		Replicas:        setsOurs(fields, replicas),
		Scaler:          scaler(fields),
		Rival:           rival(fields),
	}
	if o.Environment == "" {
		o.Tool = toolOf(obj, fields)
	}
	if !manifest.IsJob(o.Key.GroupKind()) { // nothing in a Job can be changed
		o.Added = additions(fields)
	}
	if o.Deleting {
		o.Finalizers = slices.Clone(obj.GetFinalizers())
		o.Health = health.Health{Status: health.Terminating, Message: health.Terminates(gvk.GroupKind(), o.Finalizers)}
	}
	return o
}

// Proved reports whether the object bears a proof that Berth made it for an environment, and fields that Berth applied.
// Jobs need no such fields, because they are created, not applied.
func (o Object) Proved(environment string, prover manifest.Prover) bool {
	written := o.Ownership != "" || manifest.IsJob(o.Key.GroupKind())
	return written && prover.Made(environment, o.Key, o.Digest, o.Proof)
}

// Annotations of other tools that mean the same as annotations of Berth.
const (
	deletionAnnotation = "client.lifecycle.config.k8s.io/deletion"
	helmPolicy         = "helm.sh/resource-policy"
)

// pruneMark translates the marks of other tools into the value of manifest.AnnotationPrune. Any user may keep an object,
// but only Git's last version may allow the deletion of what holds data.
func pruneMark(annotations map[string]string, fields []metav1.ManagedFieldsEntry) string {
	if annotations[deletionAnnotation] == "detach" || annotations[helmPolicy] == "keep" {
		return "never"
	}
	mark := annotations[manifest.AnnotationPrune]
	if mark == "allow" && !isGits(fields, manifest.AnnotationPrune) {
		return ""
	}
	return mark
}

// StorageRequest is the field in which a PersistentVolumeClaim asks for its size.
const StorageRequest = "spec.resources.requests.storage"

var storage = fieldpath.MakePathOrDie("spec", "resources", "requests", "storage")

// enlarged returns the size that a claim asks for, if Berth does not own that field.
func enlarged(claim *unstructured.Unstructured) string {
	kind := claim.GroupVersionKind().GroupKind()
	if kind != (schema.GroupKind{Kind: "PersistentVolumeClaim"}) || setsOurs(claim.GetManagedFields(), storage) {
		return ""
	}
	size, _, _ := unstructured.NestedString(claim.Object, strings.Split(StorageRequest, ".")...)
	return size
}
