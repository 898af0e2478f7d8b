package inspect

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/naming"
)

// parallel is how many listings run at once.
const parallel = 8

// derived are the kinds that controllers create with the labels of their source.
var derived = map[schema.GroupKind]bool{
	{Kind: "Endpoints"}: true,
	{Group: "discovery.k8s.io", Kind: "EndpointSlice"}: true,
	{Group: "apps", Kind: "ControllerRevision"}:        true,
	{Kind: "Event"}:                         true,
	{Group: "events.k8s.io", Kind: "Event"}: true,
}

// listable is a kind that can be listed.
type listable struct {
	schema.GroupVersionKind
	plural     string
	namespaced bool
}

// find returns the objects with the environment's label. It searches the environment's namespace, or with the scope
// cluster all namespaces.
func (i *Inspector) find(ctx context.Context, env *v1alpha1.Environment, scope v1alpha1.Scope, d *Description) []*unstructured.Unstructured {
	kinds, err := i.kinds()
	if err != nil {
		d.note("some kinds", err)
	}
	var (
		mu      sync.Mutex
		found   []*unstructured.Unstructured
		refused []string
		notOurs []string
		all     errgroup.Group
	)
	all.SetLimit(parallel)
	for _, k := range kinds {
		if !k.namespaced && scope != v1alpha1.ScopeCluster {
			continue
		}
		all.Go(func() error {
			objects, err := i.list(ctx, k, env, scope)
			mu.Lock()
			defer mu.Unlock()
			found = append(found, objects...)
			switch {
			case apierrors.IsForbidden(err):
				refused = append(refused, k.plural)
			case errors.Is(err, ErrNotOurs):
				notOurs = append(notOurs, k.plural)
			case err != nil && !apierrors.IsNotFound(err) && !apierrors.IsMethodNotSupported(err):
				d.note(k.plural, err)
			}
			return nil
		})
	}
	_ = all.Wait() // errors are in the notes
	slices.Sort(d.Notes)
	if len(refused) > 0 {
		slices.Sort(refused)
		d.Notes = append(d.Notes, strings.Join(refused, ", ")+" cannot be listed, because you lack the right")
	}
	if len(notOurs) > 0 {
		slices.Sort(notOurs)
		d.Notes = append(d.Notes, strings.Join(notOurs, ", ")+" cannot be listed here: "+ErrNotOurs.Error())
	}
	return found
}

// Owned returns the objects of an environment, and records what could not be read. For kinds without health rules
// it returns only metadata.
func (i *Inspector) Owned(ctx context.Context, env *v1alpha1.Environment, scope v1alpha1.Scope) (objects []*unstructured.Unstructured, notes []string) {
	var d Description
	objects = i.find(ctx, env, scope, &d)
	return objects, d.Notes
}

// kinds returns the kinds that the API server serves, each in its preferred version.
func (i *Inspector) kinds() ([]listable, error) {
	lists, err := discovery.ServerPreferredResources(i.Discovery)
	var kinds []listable
	for _, list := range lists {
		gv, parseErr := schema.ParseGroupVersion(list.GroupVersion)
		if parseErr != nil {
			continue
		}
		for _, r := range list.APIResources {
			k := listable{GroupVersionKind: gv.WithKind(r.Kind), plural: r.Name, namespaced: r.Namespaced}
			if slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "patch") && !derived[k.GroupKind()] && gv.Group != v1alpha1.GroupVersion.Group {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds, err
}

// list lists one kind. Kinds without health rules are listed with their metadata only, so that no Secret's values
// are read.
func (i *Inspector) list(ctx context.Context, k listable, env *v1alpha1.Environment, scope v1alpha1.Scope) ([]*unstructured.Unstructured, error) {
	options := []client.ListOption{client.HasLabels{manifest.LabelEnvironment}}
	if scope != v1alpha1.ScopeCluster {
		options = append(options, client.InNamespace(env.Spec.Namespace))
	}
	objects, err := i.listWith(ctx, k, options)
	if apierrors.IsForbidden(err) && scope == v1alpha1.ScopeCluster && k.namespaced {
		objects, err = i.listWith(ctx, k, append(options, client.InNamespace(env.Spec.Namespace)))
	}
	own := objects[:0]
	for _, object := range objects {
		if belongs(object, env) {
			own = append(own, object)
		}
	}
	return own, err
}

func (i *Inspector) listWith(ctx context.Context, k listable, options []client.ListOption) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	listKind := k.GroupVersion().WithKind(k.Kind + "List")
	if health.Needs(k.GroupKind()) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(listKind)
		err := i.Client.List(ctx, list, options...)
		for n := range list.Items {
			objects = append(objects, &list.Items[n])
		}
		return objects, err
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(listKind)
	err := i.Client.List(ctx, list, options...)
	for n := range list.Items {
		objects = append(objects, bare(&list.Items[n], k.GroupVersionKind))
	}
	return objects, err
}

// bare creates an object from its metadata.
func bare(m *metav1.PartialObjectMetadata, gvk schema.GroupVersionKind) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gvk)
	object.SetName(m.Name)
	object.SetNamespace(m.Namespace)
	object.SetUID(m.UID)
	object.SetLabels(m.Labels)
	object.SetAnnotations(m.Annotations)
	object.SetCreationTimestamp(m.CreationTimestamp)
	object.SetDeletionTimestamp(m.DeletionTimestamp)
	object.SetFinalizers(m.Finalizers)
	object.SetOwnerReferences(m.OwnerReferences)
	object.SetManagedFields(m.ManagedFields)
	return object
}

// belongs reports whether an object belongs to the environment. It ignores the first half of the label, the
// installation's id, because users need not be able to read it. Objects that a controller created do not belong to
// the environment.
func belongs(object *unstructured.Unstructured, env *v1alpha1.Environment) bool {
	id := naming.ID("", env.Spec.Repository, env.Spec.Entry, env.Spec.Branch)
	return strings.HasSuffix(object.GetLabels()[manifest.LabelEnvironment], id) && metav1.GetControllerOf(object) == nil
}

// missing returns the unhealthy objects of the status that are not in the cluster.
func missing(env *v1alpha1.Environment, there []Object) []Object {
	var objects []Object
	for _, u := range env.Status.Unhealthy {
		namespace := cmp.Or(u.Namespace, env.Spec.Namespace)
		isThere := slices.ContainsFunc(there, func(o Object) bool {
			return o.Kind == u.Kind && o.Name == u.Name && (o.Namespace == namespace || o.Namespace == "")
		})
		if !isThere {
			objects = append(objects, Object{Kind: u.Kind, Namespace: namespace, Name: u.Name, Health: health.Status(u.Health), Message: u.Message})
		}
	}
	return objects
}

// awaiting returns the Jobs that run before the environment is deleted, and are not in the cluster before.
func awaiting(env *v1alpha1.Environment, there []Object) []Object {
	var objects []Object
	for _, j := range env.Status.Jobs {
		isThere := slices.ContainsFunc(there, func(o Object) bool { return o.Kind == "Job" && o.Name == j.Name })
		if j.Outcome == v1alpha1.JobOnRemoval && !isThere {
			objects = append(objects, Object{Kind: "Job", Group: "batch", Namespace: env.Spec.Namespace, Name: j.Name, Health: health.Healthy, Message: "runs when the environment is torn down"})
		}
	}
	return objects
}

// severity orders health by its importance for users.
var severity = map[health.Status]int{
	health.Failed: 0, health.Unknown: 1, health.Terminating: 2, health.Progressing: 3, health.Suspended: 4, health.Healthy: 5,
}

// sorted sorts the worst objects first, and equals in the order of a sync.
func sorted(objects []Object) []Object {
	slices.SortFunc(objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(severity[a.Health], severity[b.Health]), a.place.Compare(b.place),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return objects
}
