package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// kind is the watch of one kind for all environments, with its objects. A confined kind has one for each namespace. It uses
// the server's preferred version: objects and field ownership are the same in all versions.
type kind struct {
	w         *Watches
	place     place
	gk        schema.GroupKind
	followers set[string]
	objects   map[types.NamespacedName]*object
	// state is why the kind is unknown; empty: it is known.
	state   observed.KindState
	message string
	// elsewhere is another version in which the kind is served, if this one is not.
	elsewhere string
	poke      chan struct{}
	stop      context.CancelFunc
	// whole is set if the objects are kept whole.
	whole bool
	// gvk is what is watched; misled is set if it is no longer served. Only the feed's goroutine uses them.
	gvk    schema.GroupVersionKind
	misled bool
	confined
}

func newKind(w *Watches, p place) *kind {
	return &kind{
		w: w, place: p, gk: p.GroupKind, followers: set[string]{}, objects: map[types.NamespacedName]*object{},
		state: observed.Syncing, message: "the list is not complete yet",
		poke: make(chan struct{}, 1), stop: func() {},
	}
}

func (k *kind) start() {
	if k.waitsForNamespace() {
		return
	}
	f := feed[arrival]{into: k, open: k.open, reduce: k.reduce, cfg: &k.w.cfg, poke: k.poke, first: k.firstPause(), delay: k.delay}
	k.stop = k.w.begin(f.run)
}

func (k *kind) unfollow(environment string) {
	delete(k.followers, environment)
	if len(k.followers) > 0 || k.gk == namespaceKind {
		return
	}
	k.stop()
	k.forget()
	delete(k.w.kinds, k.place)
}

// keepWhole keeps the objects whole from now on. A new watch replaces this one and lists the objects again.
func (k *kind) keepWhole() {
	if k.whole {
		return
	}
	k.stop()
	k.forget()
	successor := newKind(k.w, k.place)
	successor.whole, successor.followers = true, k.followers
	k.w.kinds[k.place] = successor
	successor.start()
}

// forget drops all objects.
func (k *kind) forget() {
	for name := range k.objects {
		k.discard(name)
	}
}

// retry ends the pause of a kind that is not served.
func (k *kind) retry() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// open finds where the kind is served, and how it is to be watched.
func (k *kind) open() (*cache.ListWatch, error) {
	mapping, err := k.mapping()
	if err != nil {
		return nil, err
	}
	k.gvk = mapping.GroupVersionKind
	selector := manifest.LabelEnvironment // any value: foreign objects cost nothing
	if k.gk == namespaceKind {
		selector = ""
	}
	if k.place.namespace != "" {
		return k.openConfined(mapping.Resource, selector)
	}
	if health.Needs(k.gk) {
		return listWatch[*unstructured.UnstructuredList](k.w.cfg.Dynamic.Resource(mapping.Resource), selector), nil
	}
	return listWatch[*metav1.PartialObjectMetadataList](k.w.cfg.Metadata.Resource(mapping.Resource), selector), nil
}

// mapping finds where the kind is served. The mapper's cache may be older than a CRD's newest version.
func (k *kind) mapping() (*meta.RESTMapping, error) {
	if !k.misled {
		mapping, err := k.w.cfg.Mapper.RESTMapping(k.gk)
		if !meta.IsNoMatchError(err) {
			return mapping, err
		}
	}
	meta.MaybeResetRESTMapper(k.w.cfg.Mapper)
	return k.w.cfg.Mapper.RESTMapping(k.gk)
}

type client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func listWatch[L runtime.Object](c client[L], selector string) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return c.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return c.Watch(ctx, o)
		},
	}
}

// lost records that the kind cannot be watched. A transient error leaves the known objects in place; there is merely nothing
// new until the next list.
func (k *kind) lost(err error) {
	state, message, elsewhere := observed.Unwatched, unwatched(k.gk, err), ""
	if k.place.namespace != "" && apierrors.IsForbidden(err) {
		state, message = observed.Ungranted, ungranted(k.place, err)
	}
	k.misled = apierrors.IsNotFound(err)
	gone := k.misled || meta.IsNoMatchError(err)
	if gone {
		state, message = observed.NotServed, fmt.Sprintf("the API server does not know the kind %s; create its CustomResourceDefinition, or correct apiVersion and kind", k.gk)
		elsewhere = manifest.ServedIn(k.w.cfg.Mapper, k.gk.Kind)
	}
	lasting := gone || apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err)
	var news bool
	k.w.change(func(requeue requeues) {
		if k.w.kinds[k.place] != k || k.state == "" && !lasting || k.awaitsRights(err) {
			return
		}
		news = k.state != state
		if gone {
			k.forget()
		}
		k.elsewhere = elsewhere
		k.become(state, message, requeue)
	})
	if news && !gone { // a kind whose CRD comes from the same environment needs no warning
		k.w.cfg.Log.Warn("a kind cannot be watched", "kind", k.gk.String(), "error", err)
	}
}

// unwatched returns why a kind cannot be watched.
func unwatched(gk schema.GroupKind, err error) string {
	reason := err.Error()
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		reason = status.Status().Message // without what the Reflector says around it
	}
	if apierrors.IsForbidden(err) && status != nil && status.Status().Details != nil {
		reason += "; " + watchable(status.Status().Details)
	}
	return fmt.Sprintf("cannot watch %s: %s", gk, reason)
}

// watchable returns the command that grants the agent the right to watch a kind.
func watchable(refused *metav1.StatusDetails) string {
	role, resource := "berth-watch-"+refused.Kind, refused.Kind
	if refused.Group != "" {
		resource += "." + refused.Group
	}
	return fmt.Sprintf("let the agent watch it, with a ClusterRole labelled berth.dev/aggregate-to-watch: kubectl create clusterrole %[1]s --verb=get,list,watch --resource=%[2]s && kubectl label clusterrole %[1]s berth.dev/aggregate-to-watch=true",
		role, resource)
}

// become changes the state of the kind as a whole.
func (k *kind) become(state observed.KindState, message string, requeue requeues) {
	if k.state != state {
		for e := range k.followers {
			requeue.add(e)
		}
		if k.gk == namespaceKind { // which all environments need
			for e := range k.w.environments {
				requeue.add(e)
			}
		}
	}
	k.state, k.message = state, message
}

// put receives an object from the watch.
func (k *kind) put(a arrival) {
	k.w.change(func(requeue requeues) {
		if k.w.kinds[k.place] == k {
			k.take(a, requeue)
		}
	})
}

// remove receives an object that is gone or has lost its label.
func (k *kind) remove(a arrival) {
	k.w.change(func(requeue requeues) {
		k.w.graves.dig(a.live.UID, a.live.ResourceVersion, k.w.cfg.Clock.Now())
		o := k.objects[nameOf(a.live.Key)]
		// A write of ours may have restored the label, or re-created the object, since.
		if o != nil && compare(a.live.ResourceVersion, o.live.ResourceVersion) >= 0 {
			k.w.release(o, requeue)
			k.w.concerned(o.live, requeue)
			k.discard(nameOf(a.live.Key))
			k.w.left(a.live.Key, requeue)
		}
	})
}

// replace takes in a complete list.
func (k *kind) replace(all []arrival, resourceVersion string, since time.Time) {
	k.w.change(func(requeue requeues) {
		if k.w.kinds[k.place] != k {
			return
		}
		quiet := requeues{}
		if k.state == "" {
			quiet = requeue // otherwise one requeue of the followers serves everything
		}
		there := make(set[types.NamespacedName], len(all))
		for _, a := range all {
			k.w.graves.open(a.live.UID, since)
			there[nameOf(a.live.Key)] = struct{}{}
			k.take(a, quiet)
		}
		for name, o := range k.objects {
			_, ok := there[name]
			if ok || compare(resourceVersion, o.live.ResourceVersion) < 0 {
				continue // there, or written by us after the list was made
			}
			k.w.concerned(o.live, quiet)
			k.discard(name)
		}
		k.become("", "", requeue)
		if k.place == namespaces {
			k.w.namespacesKnown()
			k.w.namespacesAreListed()
		}
	})
}

// served discovers the kinds of a group again, after one of its CRDs was established.
func (w *Watches) served(crd manifest.Key) {
	_, group, _ := strings.Cut(crd.Name, ".")
	for gk, k := range w.kinds {
		if gk.Group == group && k.state == observed.NotServed {
			k.retry()
		}
	}
}
