package live

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Query selects what Observe returns.
type Query struct {
	// Environment is the value of manifest.LabelEnvironment; Namespace the environment's own.
	Environment, Namespace string
	// Kinds are the relevant kinds, which should be those of Follow. Objects of other watched kinds are left out.
	Kinds []schema.GroupVersionKind
	// Keys are the places of the environment's objects.
	Keys []manifest.Key
	// Expressions judge the objects of their kinds, which must be kept whole.
	Expressions *health.Expressions
	// Well reports that the environment was healthy when it was last judged. Otherwise a workload that is healthy when it is
	// first seen counts only once its pods are known: it may be between two crashes.
	Well bool
	// Now and ImagePullGrace are for the judgement over pods.
	Now            time.Time
	ImagePullGrace time.Duration
}

// Observe returns what is known, from memory: the objects with the environment's label, except its own namespace and objects
// in another environment's namespace; foreign objects in its places; and the unknown kinds. Namespaces are among the unknown
// kinds until they are listed. The health of unsettled workloads includes their newest pods. The returned pointers are
// shared: callers must not change what they point to.
func (w *Watches) Observe(q Query) observed.State {
	seen, whole := w.observe(q)
	// An expression may take milliseconds, so it runs without the lock.
	for key, obj := range whole {
		l := seen.Objects[key]
		l.Health = q.Expressions.Of(obj)
		seen.Objects[key] = l
	}
	return seen
}

// observe returns what is known, and the objects that expressions are to judge.
func (w *Watches) observe(q Query) (observed.State, map[manifest.Key]*unstructured.Unstructured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kinds := set[schema.GroupKind]{}
	for _, gvk := range q.Kinds {
		kinds[gvk.GroupKind()] = struct{}{}
	}
	seen := observed.State{Objects: map[manifest.Key]observed.Object{}, Unknown: w.unknown(q, kinds)}
	whole := map[manifest.Key]*unstructured.Unstructured{}
	see := func(o *object) {
		l := w.judged(o, q)
		if !l.Deleting && o.whole != nil && q.Expressions.Judge(l.Key.GroupKind()) {
			whole[l.Key] = o.whole
		}
		seen.Objects[l.Key] = l
	}
	own := manifest.Key{Kind: namespaceKind.Kind, Name: q.Namespace}
	for o := range w.members[q.Environment] {
		if _, ok := kinds[o.live.Key.GroupKind()]; ok && o.live.Key != own && !w.foreign(o) {
			see(o)
		}
	}
	for _, key := range q.Keys {
		o := w.find(key)
		if o == nil {
			continue
		}
		see(o)
		if o.live.Environment != q.Environment {
			add(w.claimants, key, q.Environment)
		}
	}
	if o := w.find(own); o != nil {
		namespace := o.live
		seen.Namespace = &namespace
	}
	return seen, whole
}

// foreign reports whether an object lies in the namespace of a different environment than its label says. A branch's pods
// may label objects as production's, which would then delete them.
func (w *Watches) foreign(o *object) bool {
	namespace := w.find(manifest.Key{Kind: namespaceKind.Kind, Name: o.live.Key.Namespace})
	return namespace != nil && namespace.live.Environment != "" && namespace.live.Environment != o.live.Environment
}

// unknown returns why some of the kinds, and namespaces, are unknown.
func (w *Watches) unknown(q Query, kinds set[schema.GroupKind]) map[schema.GroupKind]observed.Unknown {
	unknown := map[schema.GroupKind]observed.Unknown{}
	note := func(p place) {
		k, ok := w.kinds[p]
		switch {
		case !ok:
			unknown[p.GroupKind] = observed.Unknown{State: observed.Syncing, Message: "its watch has not started yet"}
		case k.state != "" && unknown[p.GroupKind].State != observed.Syncing:
			unknown[p.GroupKind] = observed.Unknown{State: k.state, Message: k.message, Elsewhere: k.elsewhere}
		}
	}
	note(namespaces)
	for gk := range kinds {
		for _, p := range w.placesFor(q, gk) {
			note(p)
		}
	}
	return unknown
}

func (w *Watches) find(key manifest.Key) *object {
	k, ok := w.kinds[w.placeOf(key)]
	if !ok {
		return nil
	}
	return k.objects[types.NamespacedName{Namespace: key.Namespace, Name: key.Name}]
}

// judged returns an object with what its pods say, or that there is nothing yet for an expression to judge by.
func (w *Watches) judged(o *object, q Query) observed.Object {
	l := o.live
	if !l.Deleting && o.whole == nil && q.Expressions.Judge(l.Key.GroupKind()) {
		l.Health = health.Health{Status: health.Progressing, Message: "has just been written"}
	}
	if o.alone != nil && !l.Deleting {
		follow(&l, o.alone.Judge(q.Now, q.ImagePullGrace))
	}
	if health.HasPods(l.Key.GroupKind()) && o.unsettled() {
		follow(&l, w.verdict(o, q))
		if l.Health.Status == health.Healthy {
			o.proven, o.fresh = true, false
			w.untrack(o)
		}
	}
	return l
}

// follow writes a verdict into an object.
func follow(l *observed.Object, v health.Verdict) {
	l.Health, l.Recheck = v.Health, v.Next
	if ran := v.Blamed.Ended || v.Blamed.Restarts > 0 || v.Blamed.ExitCode != 0; ran && v.Blamed.Container != "" {
		l.Blamed = &observed.Container{Pod: v.Blamed.Name, Name: v.Blamed.Container}
	}
}

// verdict judges a workload with what its pods say, and those events that explain them.
func (w *Watches) verdict(o *object, q Query) health.Verdict {
	r := health.Rollout{Workload: o.live.Health}
	s := w.scopeOf(o.live.Key.Namespace)
	if o.workload != nil {
		r.Trial = o.workload.trial
		if s != nil {
			r.Pods, r.Events = o.workload.revision.Newest(s)
		}
	}
	v := r.Judge(q.Now, q.ImagePullGrace)
	recent := o.workload == nil || o.workload.trial.Recent(q.Now)
	if v.Health.Status == health.Healthy && o.fresh && !q.Well && recent && s == nil && !w.hopeless(o.live.Key.Namespace) {
		v.Health = health.Health{Status: health.Progressing, Message: "its pods are checked next"}
	}
	return v
}
