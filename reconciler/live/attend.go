package live

import (
	"context"
	"encoding/json"
	"maps"
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

// mostAttended limits the watches of attended objects. Environments whose objects are beyond it see changes only at their
// next regular pass.
const mostAttended = 256

// attended is an object that environments wait for, whatever its labels; without a name, all objects of a kind.
type attended struct {
	w       *Watches
	key     manifest.Key
	waiting set[string]
	moved   set[string] // those that changed since they last asked
	// seen has the states by name; known is false before the first list.
	seen  map[string]string
	known bool
	poke  chan struct{}
	stop  context.CancelFunc
}

// Attend watches objects for an environment, instead of those of the last call. A key without a name means all objects of
// its kind. The environment is requeued when an object is seen for the first time, and when anything but its status changes.
// Moved then returns it.
func (w *Watches) Attend(name string, keys []manifest.Key) {
	w.change(func(requeue requeues) { w.attend(name, keys, requeue) })
}

func (w *Watches) attend(name string, keys []manifest.Key, requeue requeues) {
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
			a = &attended{w: w, key: key, waiting: set[string]{}, moved: set[string]{}, seen: map[string]string{}, poke: make(chan struct{}, 1)}
			w.attended[key] = a
			f := feed[outline]{into: a, open: a.open, reduce: outlineOf, cfg: &w.cfg, poke: a.poke}
			a.stop = w.begin(f.run)
		}
		if _, waits := a.waiting[name]; !waits && a.known { // for the same reason as in see
			a.moved[name] = struct{}{}
			requeue.add(name)
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

// retry ends the pause of a watch that failed.
func (a *attended) retry() {
	select {
	case a.poke <- struct{}{}:
	default:
	}
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
	client := a.w.cfg.Metadata
	if a.w.confines(a.key.GroupKind()) {
		if client, err = a.w.cfg.As(a.account()); err != nil {
			return nil, err
		}
	}
	var resource metadata.ResourceInterface = client.Resource(mapping.Resource)
	if a.key.Namespace != "" {
		resource = client.Resource(mapping.Resource).Namespace(a.key.Namespace)
	}
	var selector string
	if a.key.Name != "" {
		selector = fields.OneTermEqualSelector("metadata.name", a.key.Name).String()
	}
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

// account returns the user that watches an object of a confined kind.
func (a *attended) account() string {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	if users := a.w.usersOf(a.waiting); len(users) > 0 {
		return users[0]
	}
	return ""
}

// outline identifies the state of an object's metadata, without changes of its status.
type outline struct{ name, state string }

func outlineOf(obj runtime.Object) outline {
	o, ok := obj.(metav1.Object)
	if !ok {
		return outline{}
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
		return outline{o.GetName(), o.GetResourceVersion()}
	}
	return outline{o.GetName(), manifest.Digest(string(text))}
}

func (a *attended) put(o outline) {
	a.see(func(all map[string]string) { all[o.name] = o.state })
}

func (a *attended) remove(o outline) {
	a.see(func(all map[string]string) { delete(all, o.name) })
}

func (a *attended) lost(error) {}

func (a *attended) replace(list []outline, _ string, _ time.Time) {
	a.see(func(all map[string]string) {
		clear(all)
		for _, o := range list {
			all[o.name] = o.state
		}
	})
}

// see records a change of the states, and requeues the waiting environments. The first list always counts as a change: the
// object may have changed after the refusal and before the watch.
func (a *attended) see(change func(all map[string]string)) {
	a.w.change(func(requeue requeues) {
		before, known := maps.Clone(a.seen), a.known
		change(a.seen)
		a.known = true
		if known && maps.Equal(before, a.seen) {
			return
		}
		a.move(requeue)
	})
}

// move requeues the waiting environments.
func (a *attended) move(requeue requeues) {
	for name := range a.waiting {
		a.moved[name] = struct{}{}
		requeue.add(name)
	}
}

// left requeues the environments that attend an object when the watch of its kind reports that it is gone or has lost its
// label. The attending watch may have reported this earlier, when a pass could still see the old owner.
func (w *Watches) left(key manifest.Key, requeue requeues) {
	if a, ok := w.attended[key]; ok {
		a.move(requeue)
	}
}
