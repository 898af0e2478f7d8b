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

// never is a resource version that no object has. An apply with it creates a new object, and causes a conflict for
// an existing one.
const never = "1"

const otherUID = "was deleted or re-created by another client in the meantime"

// apply writes an object with server-side apply: exactly the object that the plan saw, or a new one if it saw none.
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

// hold keeps fields of the live object that are to stay, while they still have the expected values.
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

// create creates a Job, which is never applied: its spec cannot be changed.
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

// hasRun reports whether a Job's spec has already run. It completes the spec by a dry run under another name.
// Without an answer it returns false.
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

// same leaves a Job that has run, and gives it the digest of its spec in Git.
func (r *run) same(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	if s.Live == nil {
		return Same, nil, nil
	}
	_, live, err := r.mark(ctx, client, s)
	return Same, live, err
}

// prepare checks that the API server would accept a Job that is created later.
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
		return Prepared, nil, nil // a full quota may have room once the Job runs
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

// sent returns the object of a step as it is applied: with Berth's marks, and without fields that other owners manage.
func (r *run) sent(s plan.Step) (*unstructured.Unstructured, error) {
	obj, err := r.marked(s.Object)
	if err != nil {
		return nil, err
	}
	s.Trim(obj)
	return obj, nil
}

// marked returns a copy of an object with Berth's marks. It removes a Job's ttlSecondsAfterFinished, because a Job that
// vanishes before its outcome is recorded would run again.
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

// setAll adds labels or annotations to an object. Existing ones stay even if they are no strings, so that the API server
// refuses them; unstructured's own setters would drop them.
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

// written checks the answer to a write: an object that is being deleted, or that is not the planned one, is a failure.
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

// reverted reports whether a correction reverted another client's change. If Berth owned the same fields before, the changes
// were left to their owners, and only fields that people added were removed. Jobs are not applied.
func reverted(s plan.Step, live observed.Object) bool {
	return s.Live == nil || s.TakeOver != nil || s.Live.Ownership != live.Ownership || manifest.IsJob(s.Key.GroupKind())
}

// inTheWay reads the object in the place of a new one. Its error depends on the owner of that object.
func (r *run) inTheWay(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (Done, *observed.Object, error) {
	obj, err := client.Get(ctx, s.Key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil, &finding{class: Conflict, text: "was created and deleted by another client in the meantime"}
	}
	if err != nil {
		return "", nil, err
	}
	live := observed.Reduce(obj)
	switch {
	case live.Deleting:
		return "", followed(live), &finding{class: Terminating, text: live.Health.Message}
	case live.Environment == r.target.Environment:
		return "", &live, &finding{class: Conflict, text: "was created in the meantime"}
	case plan.Yields(s.Object, live, r.target.Environment):
		return "", nil, &finding{class: Taken, text: "is there already"}
	case plan.Claimed(live, s.Object) != "":
		// The object there is not watched: the next try finds out whether it still exists.
		return "", nil, &finding{class: Claimed, text: plan.Claimed(live, s.Object)}
	case live.Environment == "" && live.Job != nil && !live.Job.Finished && !terminates(s.Object):
		// No watch reports the end of this one either.
		return "", nil, &finding{class: Transient, text: "is there already, was not made by Berth, and has not finished"}
	case live.Environment == "":
		return "", &live, &finding{class: Exists, text: "is there already and was not made by Berth"}
	default:
		return "", &live, &finding{class: Exists, text: "is there already and belongs to " + owner(obj)}
	}
}

// terminates reports whether a Job may replace a run in its place.
func terminates(o *manifest.Object) bool {
	return o.GetAnnotations()[manifest.AnnotationJobReplace] == "terminate"
}

// owner returns a readable name of the environment that owns the object.
func owner(obj *unstructured.Unstructured) string {
	annotations := obj.GetAnnotations()
	if name := annotations[manifest.AnnotationEnvironment]; name != "" {
		return "the environment " + name
	}
	return "the environment " + obj.GetLabels()[manifest.LabelEnvironment]
}
