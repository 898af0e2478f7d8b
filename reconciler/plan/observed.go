package plan

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// Live is one object of the cluster, reduced on arrival to what decisions need: no spec, no data, so
// that a thousand environments fit in little memory and no Secret stays in it.
type Live struct {
	Key             manifest.Key
	APIVersion      string
	UID             types.UID
	ResourceVersion string
	// Environment, Digest and Prune are the marks that the object bears, Order those that say when its turn is.
	Environment, Digest, Prune string
	// Proof is that of Digest: that Berth made this very object. It is empty where Berth made it before there were any.
	Proof string
	Order Order
	// Ownership is the ownership hash; empty when Berth never applied the object.
	Ownership string
	// Deleting says that the object has a deletionTimestamp; Finalizers is what holds it then.
	Deleting   bool
	Finalizers []string
	// Controlled says that another object is its controller.
	Controlled bool
	Health     health.Health
	// Blamed is the container whose log may say why Health is not better; nil: none is known.
	Blamed *Container
	// Recheck is when Health may change without the object changing; zero: never.
	Recheck time.Time
	// Job is set for Jobs alone.
	Job *JobLive
	// Added is what people have added; nil for nothing.
	Added *Additions
	// Replicas says that the number of replicas is one that we applied.
	Replicas bool
	// Scaler is the field manager that has taken the number of replicas from us by scaling the object,
	// Rival the one that wrote the object last, if that was after us.
	Scaler, Rival string
	// Enlarged is what a claim asks for where another field manager has taken that from us; empty elsewhere.
	Enlarged string
	// Tool names the tool that an object belongs to which is nobody's environment's.
	Tool string
}

// Order is what an object says of its place among others: its wave, and what it depends on.
type Order struct{ Wave, DependsOn string }

// Container is one of a pod.
type Container struct{ Pod, Name string }

// JobLive is what decisions need to know of a Job in the cluster.
type JobLive struct {
	Finished, Succeeded bool
	FinishedAt          time.Time
	// Program is a digest of the images and commands of its containers, Spec one of the whole spec as the API server
	// completed it.
	Program, Spec string
}

// KindState says why nothing can be said about the objects of a kind.
type KindState string

// The reasons not to know.
const (
	Syncing   KindState = "syncing"    // the watch has not delivered everything yet
	NotServed KindState = "not served" // the API server does not know the kind
	Unwatched KindState = "unwatched"  // the watch cannot be had
)

// Unknown is a kind whose objects cannot be seen: neither there nor absent.
type Unknown struct {
	State   KindState
	Message string
	// Elsewhere is where the API server has a kind of that name, if not in the group that is asked for.
	Elsewhere string
}

// Observed is what is known of an environment's objects in the cluster.
type Observed struct {
	// Objects are those that bear the environment's label, and those of other environments or of
	// nobody that stand in their place as far as they are known.
	Objects map[manifest.Key]Live
	// Unknown has the kinds of which nothing is known.
	Unknown map[schema.GroupKind]Unknown
	// Namespace is the environment's own, whosever it is; nil when there is none.
	Namespace *Live
}

// Reduce reduces an object of the cluster to what decisions need.
func Reduce(obj *unstructured.Unstructured) Live {
	l := ReduceMetadata(obj, obj.GroupVersionKind())
	if !l.Deleting {
		l.Health = health.Of(obj)
	}
	if manifest.IsJob(l.Key.GroupKind()) {
		l.Job = reduceJob(obj)
	}
	l.Enlarged = enlarged(obj)
	return l
}

// ReduceMetadata reduces an object of which only the metadata is known; it counts as healthy when it
// is there.
func ReduceMetadata(obj metav1.Object, gvk schema.GroupVersionKind) Live {
	annotations := obj.GetAnnotations()
	digest, proof := manifest.ReadMark(annotations[manifest.AnnotationDigest])
	fields := obj.GetManagedFields() // once: an unstructured object converts them every time
	l := Live{
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
	if l.Environment == "" {
		l.Tool = toolOf(obj, fields)
	}
	if !manifest.IsJob(l.Key.GroupKind()) { // of which nothing can be changed
		l.Added = additions(fields)
	}
	if l.Deleting {
		l.Finalizers = slices.Clone(obj.GetFinalizers())
		l.Health = health.Health{Status: health.Terminating, Message: health.Terminates(gvk.GroupKind(), l.Finalizers)}
	}
	return l
}

// Annotations by which other tools say what Berth has words of its own for.
const (
	mutationAnnotation = "client.lifecycle.config.k8s.io/mutation"
	deletionAnnotation = "client.lifecycle.config.k8s.io/deletion"
	helmPolicy         = "helm.sh/resource-policy"
)

// pruneMark says, in Berth's words, what becomes of the object when it leaves Git. Anybody may keep an
// object, but only what Git's last version said allows the deletion of what holds data.
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

// Ownership returns the digest of the fields that Berth applied and still owns: it changes when
// anybody else changes or removes one of them, and not when others add fields of their own. It is
// empty when Berth never applied the object.
func Ownership(fields []metav1.ManagedFieldsEntry) string {
	for _, f := range fields {
		if isOurs(f) {
			sum := sha256.Sum256(canonical(f.FieldsV1.GetRawBytes()))
			return manifest.Short(sum[:])
		}
	}
	return ""
}

// canonical sorts the keys: the server's answer to a write and a later watch event need not agree on
// their order.
func canonical(raw []byte) []byte {
	var fields any
	if json.Unmarshal(raw, &fields) != nil {
		return raw
	}
	sorted, err := json.Marshal(fields)
	if err != nil {
		return raw
	}
	return sorted
}

func reduceJob(obj *unstructured.Unstructured) *JobLive {
	j := &JobLive{Program: Program(obj), Spec: specOf(obj)}
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		condition, ok := c.(map[string]any)
		if !ok || condition["status"] != "True" {
			continue
		}
		if t := condition["type"]; t == "Complete" || t == "Failed" {
			j.Finished, j.Succeeded = true, t == "Complete"
			at, _ := condition["lastTransitionTime"].(string)
			j.FinishedAt, _ = time.Parse(time.RFC3339, at)
		}
	}
	return j
}

// generated are the labels that the API server adds to the pods of a Job, with its name and UID.
var generated = []string{"batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-name", "job-name"}

// specOf returns a digest of a Job's spec without what the API server adds for this very object, and without the time to
// live: two specs that only differ in what they leave to its defaults have the same one.
func specOf(job *unstructured.Unstructured) string {
	there, _ := job.Object["spec"].(map[string]any)
	spec := maps.Clone(there)
	delete(spec, "ttlSecondsAfterFinished")
	if spec["manualSelector"] != true {
		delete(spec, "selector")
	}
	template, _ := spec["template"].(map[string]any)
	metadata, _ := template["metadata"].(map[string]any)
	if metadata != nil {
		metadata = maps.Clone(metadata)
		labels, _ := metadata["labels"].(map[string]any)
		labels = maps.Clone(labels)
		maps.DeleteFunc(labels, func(name string, _ any) bool { return slices.Contains(generated, name) })
		metadata["labels"] = labels
		delete(metadata, "creationTimestamp")
		template = maps.Clone(template)
		template["metadata"] = metadata
		spec["template"] = template
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return ""
	}
	return manifest.Digest(string(text))
}

// Program returns a digest of the images and commands that a Job's pods run: what tells whether a Job
// that Berth did not make did the same work.
func Program(job *unstructured.Unstructured) string {
	var program []any
	for _, list := range []string{"initContainers", "containers"} {
		containers, _, _ := unstructured.NestedSlice(job.Object, "spec", "template", "spec", list)
		for _, c := range containers {
			if container, ok := c.(map[string]any); ok {
				program = append(program, container["image"], container["command"], container["args"])
			}
		}
	}
	text, err := json.Marshal(program)
	if err != nil {
		return ""
	}
	return manifest.Digest(string(text))
}
