package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// never is a resource version that no object has. Applied with it, an object is created, but one that
// is already there ends in a conflict: the API server compares the two only if there is one.
const never = "1"

const otherUID = "was deleted or made anew by somebody else meanwhile"

// apply writes an object with server-side apply: exactly the object that the plan saw, or a new one
// where it saw none.
func (r *run) apply(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	obj, err := r.sent(s)
	if err != nil {
		return "", nil, err
	}
	if s.TakeOver != nil && len(r.dryRun) == 0 {
		if err := r.takeOver(ctx, client, s); err != nil {
			return "", nil, err
		}
	}
	if s.Live == nil {
		obj.SetResourceVersion(never)
	} else {
		obj.SetUID(s.Live.UID)
	}
	if err := r.hold(ctx, client, s, obj); err != nil {
		return "", nil, err
	}
	if err := r.freshen(ctx, client, s, obj); err != nil {
		return "", nil, err
	}
	answer, err := r.patch(ctx, client, obj, r.dryRun...)
	if s.Live != nil && isMendable(err) {
		answer, err = r.mend(ctx, client, s, obj, err)
	}
	if isMissingRole(err) {
		err = r.missingRole(ctx, client, s, err)
	}
	switch {
	case s.Live == nil && apierrors.IsConflict(err):
		return r.inTheWay(ctx, client, s)
	case s.Live != nil && isOtherUID(err):
		return "", nil, &finding{class: Conflict, text: otherUID, cause: err}
	case err != nil:
		return "", nil, err
	}
	return written(s, answer)
}

// patch applies an object.
func (r *run) patch(ctx context.Context, client dynamic.ResourceInterface, obj *unstructured.Unstructured, dryRun ...string) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(obj.Object)
	if err != nil {
		return nil, err
	}
	force := true
	return client.Patch(ctx, obj.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager:    manifest.FieldManager,
		FieldValidation: metav1.FieldValidationStrict,
		Force:           &force,
		DryRun:          dryRun,
	})
}

// hold has an object keep what is to stay as it is in the cluster, if that is what it is when it is applied.
func (r *run) hold(ctx context.Context, client dynamic.ResourceInterface, s plan.Step, obj *unstructured.Unstructured) error {
	if !s.Reads() {
		return nil
	}
	there, err := client.Get(ctx, s.Key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && !isMissingNamespace(err):
		return &finding{class: Conflict, text: otherUID, cause: err}
	case err != nil:
		return err
	}
	obj.SetResourceVersion(there.GetResourceVersion())
	return s.Fill(obj, there)
}

// create makes a Job, which is never applied: its spec cannot be changed.
func (r *run) create(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	obj, err := r.marked(s.Object)
	if err != nil {
		return "", nil, err
	}
	answer, err := client.Create(ctx, obj, createOptions(r.dryRun...))
	if apierrors.IsAlreadyExists(err) {
		return r.inTheWay(ctx, client, s)
	}
	if err != nil {
		return "", nil, err
	}
	return written(s, answer)
}

// hasRun asks the API server to complete a Job's spec, under another name, and says whether that is the spec that has run.
// Without an answer it is not.
func (r *run) hasRun(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) bool {
	obj, err := r.marked(s.Object)
	if err != nil {
		return false
	}
	obj.SetName("")
	obj.SetGenerateName("berth-")
	answer, err := client.Create(ctx, obj, createOptions(metav1.DryRunAll))
	if err != nil {
		return false
	}
	completed := observed.Reduce(answer)
	return completed.Job != nil && completed.Job.Spec == s.Ran
}

// same leaves a Job that has run, and gives it the digest of what Git says now.
func (r *run) same(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	if s.Live == nil {
		return Same, nil, nil
	}
	_, live, err := r.mark(ctx, client, s)
	return Same, live, err
}

// prepare asks the API server whether it would take a Job that is created later.
func (r *run) prepare(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	obj, err := r.marked(s.Object)
	if err != nil {
		return "", nil, err
	}
	_, err = client.Create(ctx, obj, createOptions(metav1.DryRunAll))
	switch {
	case apierrors.IsAlreadyExists(err):
		return r.inTheWay(ctx, client, s)
	case isQuota(err):
		return Prepared, nil, nil // what the quota lacks today it may have when the Job runs
	case err != nil:
		return "", nil, err
	}
	return Prepared, nil, nil
}

func createOptions(dryRun ...string) metav1.CreateOptions {
	return metav1.CreateOptions{
		FieldManager:    manifest.FieldManager,
		FieldValidation: metav1.FieldValidationStrict,
		DryRun:          dryRun,
	}
}

// mark corrects the labels and annotations of a Job, which is all that can be corrected.
func (r *run) mark(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	obj, err := r.marked(s.Object)
	if err != nil {
		return "", nil, err
	}
	metadata, _, err := unstructured.NestedMap(obj.Object, "metadata")
	if err != nil {
		return "", nil, err
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"labels":          metadata["labels"],
		"annotations":     metadata["annotations"],
		"uid":             s.Live.UID,
		"resourceVersion": s.Live.ResourceVersion,
	}})
	if err != nil {
		return "", nil, err
	}
	answer, err := client.Patch(ctx, s.Key.Name, types.MergePatchType, body, metav1.PatchOptions{
		FieldManager:    manifest.FieldManager,
		FieldValidation: metav1.FieldValidationStrict,
	})
	if apierrors.IsNotFound(err) && !isMissingNamespace(err) {
		return "", nil, &finding{class: Conflict, text: otherUID, cause: err}
	}
	if err != nil {
		return "", nil, err
	}
	return written(s, answer)
}

// sent returns the object of a step as it is applied: with Berth's marks, and without what others see to.
func (r *run) sent(s plan.Step) (*unstructured.Unstructured, error) {
	obj, err := r.marked(s.Object)
	if err != nil {
		return nil, err
	}
	s.Trim(obj)
	return obj, nil
}

// marked returns a copy of an object as it is sent: with Berth's marks, and a Job without its time to
// live, for a Job that vanishes before its outcome is in the record would be run again.
func (r *run) marked(o *manifest.Object) (*unstructured.Unstructured, error) {
	obj := o.DeepCopy()
	annotations := maps.Clone(r.target.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[manifest.AnnotationDigest] = r.target.Prover.Mark(r.target.Environment, o.Key(), o.Digest)
	for field, marks := range map[string]map[string]string{
		"labels":      {manifest.LabelEnvironment: r.target.Environment},
		"annotations": annotations,
	} {
		if err := setAll(obj, field, marks); err != nil {
			return nil, err
		}
	}
	if manifest.IsJob(obj.GroupVersionKind().GroupKind()) {
		unstructured.RemoveNestedField(obj.Object, "spec", "ttlSecondsAfterFinished")
	}
	return obj, nil
}

// setAll adds to the labels or annotations of an object. Those that are there already stay even if they
// are no strings, so that the API server refuses them: unstructured's own setters would drop them.
func setAll(obj *unstructured.Unstructured, field string, values map[string]string) error {
	if there, ok, _ := unstructured.NestedFieldNoCopy(obj.Object, "metadata", field); ok && there == nil {
		unstructured.RemoveNestedField(obj.Object, "metadata", field)
	}
	for name, value := range values {
		if err := unstructured.SetNestedField(obj.Object, value, "metadata", field, name); err != nil {
			return &finding{class: Invalid, text: fmt.Sprintf("metadata.%s is not a map", field), cause: err}
		}
	}
	return nil
}

// written judges the answer to a write: one that shows a dying object, or another than the plan meant,
// is no success.
func written(s plan.Step, answer *unstructured.Unstructured) (Done, *observed.Object, error) {
	live := observed.Reduce(answer)
	switch {
	case live.Deleting:
		return "", &live, &finding{class: Terminating, text: live.Health.Message}
	case s.Live != nil && live.UID != s.Live.UID:
		return "", &live, &finding{class: Conflict, text: otherUID}
	case s.Live != nil && live.ResourceVersion == s.Live.ResourceVersion:
		return Unchanged, &live, nil
	case s.Action == plan.Correct && reverted(s, live):
		return Corrected, &live, nil
	case s.Action == plan.Correct:
		return Unchanged, &live, nil
	case s.Live == nil:
		return Created, &live, nil
	default:
		return Changed, &live, nil
	}
}

// reverted says whether the correction of an object took anything back from others. If it applied the fields that were
// Berth's before, all that was changed is left to others; only what people added is taken from them without a trace. Jobs
// are not applied.
func reverted(s plan.Step, live observed.Object) bool {
	return s.Live == nil || s.TakeOver != nil || s.Live.Ownership != live.Ownership || manifest.IsJob(s.Key.GroupKind())
}

// inTheWay reads the object that stands where one was to be created, and says whose it is.
func (r *run) inTheWay(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	obj, err := client.Get(ctx, s.Key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil, &finding{class: Conflict, text: "was made and deleted by somebody else meanwhile"}
	}
	if err != nil {
		return "", nil, err
	}
	live := observed.Reduce(obj)
	switch {
	case live.Deleting:
		return "", followed(live), &finding{class: Terminating, text: live.Health.Message}
	case live.Environment == r.target.Environment:
		return "", &live, &finding{class: Conflict, text: "was made meanwhile"}
	case plan.Yields(s.Object, live, r.target.Environment):
		return "", nil, &finding{class: Taken, text: "is there already"}
	case plan.Claimed(live, s.Object) != "":
		// What stands there is not watched: it is asked for again when the step is tried again.
		return "", nil, &finding{class: Claimed, text: plan.Claimed(live, s.Object)}
	case live.Environment == "" && live.Job != nil && !live.Job.Finished && !terminates(s.Object):
		// Nor is this watched.
		return "", nil, &finding{class: Transient, text: "is there already, was not made by Berth, and has not finished"}
	case live.Environment == "":
		return "", &live, &finding{class: Exists, text: "is there already and was not made by Berth"}
	default:
		return "", &live, &finding{class: Exists, text: "is there already and belongs to " + owner(obj)}
	}
}

// terminates says whether a Job may end a run that stands in its place.
func terminates(o *manifest.Object) bool {
	return o.GetAnnotations()[manifest.AnnotationJobReplace] == "terminate"
}

// owner names another environment as readably as its object allows.
func owner(obj *unstructured.Unstructured) string {
	annotations := obj.GetAnnotations()
	if name := annotations[manifest.AnnotationEnvironment]; name != "" {
		return "the environment " + name
	}
	return "the environment " + obj.GetLabels()[manifest.LabelEnvironment]
}
