package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/manifest"
)

// marks is the prefix of all labels and annotations of Berth.
const marks = "berth.dev/"

// release removes Berth's labels, annotations and field manager from everything that keeps running, and the accounts'
// RoleBindings. Pods are not restarted, because pod templates stay as they are.
func (r *Remover) release(ctx context.Context, s *Survey) error {
	if !s.knowsMarks() {
		if len(s.Environments) > 0 {
			r.say("Secret/%s is missing, so Berth's labels on the objects of the environments stay: they may be those of the installation in %s", installationSecret, strings.Join(s.Others, ", "))
		}
		return nil
	}
	kinds, err := r.served(markable)
	if err != nil {
		return err
	}
	released := 0
	for _, kind := range kinds {
		objects, err := r.list(ctx, kind, client.HasLabels{manifest.LabelEnvironment})
		if err != nil {
			return err
		}
		for i := range objects {
			object := &objects[i]
			if !s.marked(object) || metav1.GetControllerOf(object) != nil {
				continue
			}
			if err := r.releaseOne(ctx, object); err != nil {
				return fmt.Errorf("releasing %s %s/%s: %w", kind.Kind, object.Namespace, object.Name, err)
			}
			released++
		}
	}
	if released > 0 {
		r.say("released %d objects, which keep running", released)
	}
	return nil
}

// copies are the kinds to which controllers copy the annotations of the workload that owns them.
var copies = []schema.GroupVersionKind{
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Group: "apps", Version: "v1", Kind: "ControllerRevision"},
}

// releaseCopies removes the annotations that controllers copied from released workloads. A controller copies them again until
// it has seen that the workload lost them, so this ends when a listing finds none.
func (r *Remover) releaseCopies(ctx context.Context, s *Survey) error {
	if !s.knowsMarks() {
		return nil // nothing was released
	}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		left := 0
		for _, kind := range copies {
			objects, err := r.list(ctx, kind)
			if err != nil {
				return false, err
			}
			for i := range objects {
				object := &objects[i]
				ours, err := r.isCopy(ctx, object)
				if err == nil && ours {
					left++
					err = r.releaseOne(ctx, object)
				}
				if err != nil {
					return false, fmt.Errorf("releasing %s %s/%s: %w", kind.Kind, object.Namespace, object.Name, err)
				}
			}
		}
		return left == 0, nil
	})
}

// isCopy reports whether an object has marks that its owner lost. If the owner has marks, another installation manages it.
func (r *Remover) isCopy(ctx context.Context, object *metav1.PartialObjectMetadata) (bool, error) {
	ref := metav1.GetControllerOf(object)
	if ref == nil || !isMarked(object) {
		return false, nil
	}
	owner := &metav1.PartialObjectMetadata{}
	owner.SetGroupVersionKind(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: ref.Name}, owner); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return owner.UID == ref.UID && !isMarked(owner), nil
}

func isMarked(object *metav1.PartialObjectMetadata) bool {
	isMark := func(key string) bool { return strings.HasPrefix(key, marks) }
	return slices.ContainsFunc(slices.Collect(maps.Keys(object.Labels)), isMark) || slices.ContainsFunc(slices.Collect(maps.Keys(object.Annotations)), isMark)
}

// markable reports whether objects of a resource can be released: they can be listed and patched, and are not Events, which
// expire.
func markable(resource metav1.APIResource) bool {
	return slices.Contains(resource.Verbs, "list") && slices.Contains(resource.Verbs, "patch") && resource.Kind != "Event"
}

// served returns the kinds of the API server's resources that meet a condition, except those of Berth.
func (r *Remover) served(which func(metav1.APIResource) bool) ([]schema.GroupVersionKind, error) {
	kinds, unavailable, err := r.discover(which)
	if len(unavailable) > 0 {
		// An aggregated API that is down. It must not keep an installation from ending.
		r.say("some kinds cannot be listed, so Berth's objects and labels of these kinds may stay: %s", strings.Join(unavailable, ", "))
	}
	return kinds, err
}

// discover returns the kinds of the API server's resources that meet a condition, except those of Berth, and the APIs that are
// unavailable.
func (r *Remover) discover(which func(metav1.APIResource) bool) (kinds []schema.GroupVersionKind, unavailable []string, err error) {
	lists, err := discovery.ServerPreferredResources(r.Kubernetes.Discovery())
	var failed *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &failed) {
		for version := range failed.Groups {
			unavailable = append(unavailable, version.String())
		}
		slices.Sort(unavailable)
	} else if err != nil {
		return nil, nil, err
	}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil || version.Group == v1alpha1.GroupVersion.Group {
			continue
		}
		for _, resource := range list.APIResources {
			if which(resource) {
				kinds = append(kinds, version.WithKind(resource.Kind))
			}
		}
	}
	return kinds, unavailable, nil
}

// list lists the metadata of a kind's objects. A kind that cannot be listed after all has none.
func (r *Remover) list(ctx context.Context, kind schema.GroupVersionKind, options ...client.ListOption) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	err := r.Client.List(ctx, list, options...)
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the objects of the kind %s: %w", kind.Kind, err)
	}
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(kind)
	}
	return list.Items, nil
}

// attempts is how often an object is read again because another client changed it in the meantime.
const attempts = 5

func (r *Remover) releaseOne(ctx context.Context, object *metav1.PartialObjectMetadata) error {
	if manifest.IsBinding(manifest.Key{Group: object.GroupVersionKind().Group, Kind: object.Kind, Namespace: object.Namespace, Name: object.Name}) {
		return r.delete(ctx, object)
	}
	var err error
	for range attempts {
		var patch []byte
		if patch, err = releasing(object); err != nil {
			return err
		}
		err = r.Client.Patch(ctx, object.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(manager))
		if !apierrors.IsConflict(err) {
			return client.IgnoreNotFound(err)
		}
		kind := object.GroupVersionKind()
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return client.IgnoreNotFound(err)
		}
		object.SetGroupVersionKind(kind)
	}
	return err
}

// releasing returns the patch that removes the marks of an object, and its fields from Berth's field manager, so that
// kubectl and other tools apply it without conflicts.
func releasing(object *metav1.PartialObjectMetadata) ([]byte, error) {
	labels, annotations := map[string]any{}, map[string]any{}
	for key := range object.Labels {
		if strings.HasPrefix(key, marks) {
			labels[key] = nil
		}
	}
	for key := range object.Annotations {
		if strings.HasPrefix(key, marks) {
			annotations[key] = nil
		}
	}
	fields := slices.DeleteFunc(slices.Clone(object.ManagedFields), func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == manifest.FieldManager // Jobs are created, all else is applied
	})
	if len(fields) == 0 {
		fields = []metav1.ManagedFieldsEntry{{}} // an empty list would change nothing
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": object.ResourceVersion, "labels": labels, "annotations": annotations, "managedFields": fields,
	}})
}
