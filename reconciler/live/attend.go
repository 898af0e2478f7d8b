package live

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"berth.dev/berth/reconciler/manifest"
)

// mostAttended bounds the watches of single objects. Environments whose objects are beyond it learn of changes
// when they look again by themselves.
const mostAttended = 256

// attended is a single object that environments wait for, whatever labels it has.
type attended struct {
	w       *Watches
	key     manifest.Key
	waiting set[string]
	moved   set[string] // of these, those that have not asked since it changed
	// seen stands for the object's state; it is empty while the object is not there, and void before the first list.
	seen  string
	known bool
	stop  context.CancelFunc
}

// Attend watches single objects for an environment, in place of those that it said before. It is woken when one of them
// is seen for the first time, and when one changes in any other respect than its status. Moved names those then.
func (w *Watches) Attend(name string, keys []manifest.Key) {
	w.change(func(wake wakes) { w.attend(name, keys, wake) })
}

func (w *Watches) attend(name string, keys []manifest.Key, wake wakes) {
	for key, a := range w.attended {
		if _, waits := a.waiting[name]; waits && !slices.Contains(keys, key) {
			a.leave(name)
		}
	}
	for _, key := range keys {
		a, ok := w.attended[key]
		switch {
		case !ok && len(w.attended) >= mostAttended:
			continue
		case !ok:
			a = &attended{w: w, key: key, waiting: set[string]{}, moved: set[string]{}}
			w.attended[key] = a
			f := feed[outline]{into: a, open: a.open, reduce: outlineOf, syncTimeout: w.cfg.SyncTimeout, poke: make(chan struct{}, 1)}
			a.stop = w.begin(f.run)
		}
		if _, waits := a.waiting[name]; !waits && a.known { // for the same reason as in see
			a.moved[name] = struct{}{}
			wake.add(name)
		}
		a.waiting[name] = struct{}{}
	}
}

// Moved returns which of the objects that an environment attends have changed since it last asked.
func (w *Watches) Moved(name string) []manifest.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []manifest.Key
	for key, a := range w.attended {
		if _, moved := a.moved[name]; moved {
			keys = append(keys, key)
			delete(a.moved, name)
		}
	}
	slices.SortFunc(keys, manifest.Key.Compare)
	return keys
}

func (a *attended) leave(name string) {
	delete(a.waiting, name)
	delete(a.moved, name)
	if len(a.waiting) == 0 {
		a.stop()
		delete(a.w.attended, a.key)
	}
}

// open finds where the object is served.
func (a *attended) open() (*cache.ListWatch, error) {
	mapping, err := a.w.cfg.Mapper.RESTMapping(a.key.GroupKind())
	if err != nil {
		return nil, err
	}
	var resource metadata.ResourceInterface = a.w.cfg.Metadata.Resource(mapping.Resource)
	if a.key.Namespace != "" {
		resource = a.w.cfg.Metadata.Resource(mapping.Resource).Namespace(a.key.Namespace)
	}
	selector := fields.OneTermEqualSelector("metadata.name", a.key.Name).String()
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return resource.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return resource.Watch(ctx, o)
		},
	}, nil
}

// outline stands for all of an object's metadata that something other than its status may have changed.
type outline string

func outlineOf(obj runtime.Object) outline {
	o, ok := obj.(metav1.Object)
	if !ok {
		return ""
	}
	var managers []metav1.ManagedFieldsEntry
	for _, entry := range o.GetManagedFields() {
		if entry.Subresource != "status" {
			managers = append(managers, entry)
		}
	}
	text, err := json.Marshal(map[string]any{
		"uid": o.GetUID(), "generation": o.GetGeneration(), "deleted": o.GetDeletionTimestamp(), "finalizers": o.GetFinalizers(),
		"labels": o.GetLabels(), "annotations": o.GetAnnotations(), "managers": managers,
	})
	if err != nil {
		return outline(o.GetResourceVersion())
	}
	return outline(manifest.Digest(string(text)))
}

func (a *attended) put(s outline)  { a.see(string(s)) }
func (a *attended) remove(outline) { a.see("") }
func (a *attended) lost(error)     {}

func (a *attended) replace(all []outline, _ string, _ time.Time) {
	if len(all) == 0 {
		a.see("")
		return
	}
	a.see(string(all[0]))
}

// see takes in the object's state, and wakes who waits if it is another one. The first state counts as another one: the
// object may have changed after it was refused and before it was watched.
func (a *attended) see(now string) {
	a.w.change(func(wake wakes) {
		before, known := a.seen, a.known
		a.seen, a.known = now, true
		if known && before == now {
			return
		}
		for name := range a.waiting {
			a.moved[name] = struct{}{}
			wake.add(name)
		}
	})
}
