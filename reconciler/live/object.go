package live

import (
	"reflect"
	"slices"
	"time"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// object is what is kept of one object.
type object struct {
	live observed.Object
	// workload is set for kinds that have pods. A write of our own that changed more than marks unsets it until the watch
	// brings the controller's state.
	workload *podOwner
	// alone is set, likewise, for pods.
	alone *health.Alone
	// proven is set once a workload has settled, until its status changes. fresh is set if it was healthy when it was first
	// seen: its past is unknown.
	proven, fresh bool
	// whole is set for kinds that are kept whole, for expressions. A write of our own unsets it until the watch brings the
	// new state.
	whole *unstructured.Unstructured
	// marks is set for namespaces that bear an environment's label. A write of our own unsets it likewise.
	marks *metav1.PartialObjectMetadata
}

// arrival is an object from a watch, already reduced.
type arrival struct {
	object
	// ours reports that the last write may be our own.
	ours bool
}

// reduce makes an arrival of what the watch brings.
func (k *kind) reduce(obj runtime.Object) arrival {
	var a arrival
	switch o := obj.(type) {
	case *unstructured.Unstructured:
		a.live, a.workload, a.alone, a.ours = observed.Reduce(o), workloadOf(o), aloneOf(o), observed.MayBeOurs(o.GetManagedFields())
		if k.whole {
			a.whole = judgeable(o)
		}
	case metav1.Object:
		a.live, a.ours = observed.ReduceMetadata(o, k.gvk), observed.MayBeOurs(o.GetManagedFields())
		if k.gk == namespaceKind {
			a.marks = marksOf(o)
		}
	}
	return a
}

// judgeable returns the parts of an object that may matter to an expression.
func judgeable(o *unstructured.Unstructured) *unstructured.Unstructured {
	kept := &unstructured.Unstructured{Object: map[string]any{}}
	for _, field := range []string{"apiVersion", "kind", "metadata", "spec", "status"} {
		if content, ok := o.Object[field]; ok {
			kept.Object[field] = content
		}
	}
	kept.SetManagedFields(nil)
	kept.SetResourceVersion("")
	return kept
}

// echo is how long the requeue for an apparent write of our own waits for that write's answer.
const echo = 50 * time.Millisecond

// take stores an object unless a newer state is known.
func (k *kind) take(a arrival, requeue requeues) {
	if k.w.graves.has(a.live.UID) {
		return // a late event: the object is known to be gone
	}
	o := k.objects[nameOf(a.live.Key)]
	if o != nil && compare(a.live.ResourceVersion, o.live.ResourceVersion) < 0 {
		return
	}
	concerned, healthy := requeues{}, false
	if o == nil {
		k.w.noteStray(nil, a.marks)
	} else {
		k.w.noteStray(o.marks, a.marks)
		healthy = o.live.Health.Status == health.Healthy
		untold := o.fresh && o.workload == nil // what can be said of its pods only now
		if same(o.live, a.live) && reflect.DeepEqual(o.whole, a.whole) && reflect.DeepEqual(o.alone, a.alone) && !untold {
			k.store(a.object)
			return
		}
		k.w.concerned(o.live, concerned)
	}
	o = k.store(a.object)
	k.w.concerned(o.live, concerned)
	if o.live.Key.GroupKind() == crdKind && !healthy && o.live.Health.Status == health.Healthy {
		k.w.served(o.live.Key)
	}
	k.w.release(o, concerned)
	if a.ours {
		k.w.postpone(o, concerned)
	} else {
		requeue.addAll(concerned)
	}
}

// hold is a delayed requeue.
type hold struct{ concerned requeues }

// postpone delays a requeue for an event that may be the echo of a write whose answer is still in flight.
func (w *Watches) postpone(o *object, concerned requeues) {
	h := &hold{concerned}
	w.held[o] = h
	w.later(echo, func(requeue requeues) {
		if w.held[o] == h {
			w.release(o, requeue)
		}
	})
}

// release ends the delay of a requeue.
func (w *Watches) release(o *object, to requeues) {
	if h, ok := w.held[o]; ok {
		to.addAll(h.concerned)
		delete(w.held, o)
	}
}

// concerned adds the environments that a change of the object matters to.
func (w *Watches) concerned(l observed.Object, to requeues) {
	to.add(l.Environment)
	to.addAll(requeues(w.claimants[l.Key]))
	delete(w.claimants, l.Key) // they claim it again if they still have to
	if l.Key.GroupKind() == namespaceKind {
		for e := range w.residents[l.Key.Name] {
			to.add(e)
		}
	}
}

// store replaces the known state of an object.
func (k *kind) store(now object) *object {
	name := nameOf(now.live.Key)
	o, created := k.objects[name], false
	if o == nil {
		created = true
		now.fresh = health.HasPods(now.live.Key.GroupKind()) && now.live.Health.Status == health.Healthy
		o = &object{}
		k.objects[name] = o
	} else {
		drop(k.w.members, o.live.Environment, o)
		now.inherit(*o)
	}
	*o = now
	intern(&o.live)
	if o.live.Environment != "" {
		add(k.w.members, o.live.Environment, o)
	}
	k.w.track(o)
	if created {
		k.w.opens(o.live.Key)
	}
	return o
}

// discard drops an object.
func (k *kind) discard(name types.NamespacedName) {
	o, ok := k.objects[name]
	if !ok {
		return
	}
	delete(k.objects, name)
	drop(k.w.members, o.live.Environment, o)
	delete(k.w.held, o)
	k.w.untrack(o)
	k.w.closes(o.live.Key)
}

// Deleted records at once that an object is gone because we deleted it for an environment. (Wrote records that a deletion
// has begun.) A late watch event does not bring it back. All other concerned environments are requeued.
func (w *Watches) Deleted(key manifest.Key, uid types.UID, by string) {
	w.change(func(requeue requeues) {
		w.graves.dig(uid, "", w.cfg.Clock.Now())
		if k, ok := w.kinds[w.placeOf(key)]; ok {
			if o := k.objects[nameOf(key)]; o != nil && o.live.UID == uid {
				w.concerned(o.live, requeue)
				delete(requeue, by)
				k.discard(nameOf(key))
			}
		}
	})
}

var crdKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

func nameOf(k manifest.Key) types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Name}
}

// same reports whether two states of an object are equal for all decisions. The API version does not matter, because answers
// to our writes come in the version that Git names. Nor does the last writer.
func same(a, b observed.Object) bool {
	if !slices.Equal(a.Finalizers, b.Finalizers) || !reflect.DeepEqual(a.Job, b.Job) {
		return false
	}
	b.ResourceVersion, b.APIVersion, b.Finalizers, b.Job, b.Rival = a.ResourceVersion, a.APIVersion, a.Finalizers, a.Job, a.Rival
	return reflect.DeepEqual(a, b)
}

// compare orders resource versions. Where they cannot be compared, as from an aggregated API that does
// not count, what arrives later is the newer.
func compare(a, b string) int {
	order, err := resourceversion.CompareResourceVersion(a, b)
	if err != nil {
		return 1
	}
	return order
}

// intern shares the texts that thousands of objects have in common.
func intern(l *observed.Object) {
	for _, text := range []*string{&l.Key.Group, &l.Key.Kind, &l.Key.Namespace, &l.APIVersion, &l.Environment, &l.Prune, &l.Order.Wave, &l.Order.DependsOn, &l.Scaler, &l.Rival, &l.Tool} {
		*text = unique.Make(*text).Value()
	}
}

// lateEvents is how much later than our own knowledge of a deletion a watch event may come.
const lateEvents = 5 * time.Minute

// graves are the UIDs of recently deleted objects. UIDs are never used again, so they cannot affect re-created objects of
// the same name.
type graves struct {
	of    map[types.UID]grave
	order []types.UID
}

type grave struct {
	dug time.Time
	// version is the resource version at which a watch brought the end. To the watch, an object that loses its label ends
	// too, and may come back. It is empty after a deletion of our own.
	version string
}

// dig adds an object, and drops the oldest.
func (g *graves) dig(uid types.UID, version string, now time.Time) {
	for len(g.order) > 0 && now.Sub(g.of[g.order[0]].dug) > lateEvents {
		delete(g.of, g.order[0])
		g.order = g.order[1:]
	}
	before, known := g.of[uid]
	if !known {
		g.order = append(g.order, uid)
	}
	if known && before.version == "" {
		version = ""
	}
	g.of[uid] = grave{now, version}
}

// has reports whether an object is gone for good.
func (g *graves) has(uid types.UID) bool {
	grave, ok := g.of[uid]
	return ok && grave.version == ""
}

// cover reports whether the answer to a write is older than the end of the object, which a watch may bring first.
func (g *graves) cover(l observed.Object) bool {
	grave, ok := g.of[l.UID]
	return ok && (grave.version == "" || compare(l.ResourceVersion, grave.version) < 0)
}

// open removes an object if a later list still has it: it was not gone.
func (g *graves) open(uid types.UID, asked time.Time) {
	if grave, ok := g.of[uid]; ok && grave.dug.Before(asked) {
		delete(g.of, uid)
	}
}
