package live

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
)

// podOwner is what is kept of an object with pods, besides its health.
type podOwner struct {
	revision health.Revision
	trial    health.Trial
}

// workloadOf returns what is kept of a workload; nil for other kinds.
func workloadOf(obj *unstructured.Unstructured) *podOwner {
	if !health.HasPods(obj.GroupVersionKind().GroupKind()) {
		return nil
	}
	return &podOwner{revision: health.RevisionOf(obj), trial: health.TrialOf(obj)}
}

// aloneOf returns what is kept of a pod; nil for other kinds.
func aloneOf(obj *unstructured.Unstructured) *health.Alone {
	if obj.GroupVersionKind().GroupKind() != (schema.GroupKind{Kind: "Pod"}) {
		return nil
	}
	alone := health.AloneOf(obj)
	return &alone
}

// isOf reports whether two states of a workload have the same spec.
func (p *podOwner) isOf(before *podOwner) bool {
	return p == nil || before == nil || p.trial.Generation == before.trial.Generation
}

// inherit takes over what is known of an object that has only changed.
func (o *object) inherit(before object) {
	if o.live.UID != before.live.UID || o.live.Health.Status != health.Healthy {
		return
	}
	if o.alone == nil {
		o.alone = before.alone
	}
	if o.workload == nil {
		o.workload = before.workload // its controller has seen the newest spec, which is the same as before
	}
	if before.live.Health.Status == health.Healthy && o.workload.isOf(before.workload) {
		o.proven, o.fresh = before.proven, before.fresh
	}
}

// dependant is what is kept of a pod, or of a ReplicaSet.
type dependant struct {
	name types.NamespacedName
	uid  types.UID
	// owner is the controller; revision which of its revisions the dependant belongs to.
	owner    types.UID
	revision string
	pod      health.Pod // zero for a ReplicaSet
}

func reducePod(obj runtime.Object) dependant {
	pod, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return dependant{}
	}
	d := dependantOf(pod)
	d.pod = health.OfPod(pod)
	return d
}

func reduceReplicaSet(obj runtime.Object) dependant {
	set, ok := obj.(metav1.Object)
	if !ok {
		return dependant{}
	}
	return dependantOf(set)
}

func dependantOf(obj metav1.Object) dependant {
	d := dependant{
		name: types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()},
		uid:  obj.GetUID(),
	}
	d.owner, d.revision = health.MemberOf(obj)
	return d
}

// EventsOf returns the events about an object.
func (s *scope) EventsOf(object types.UID) []health.Event { return s.events.about(object) }

// PodsOf returns the pods that an owner has of a revision, with what events say of them.
func (s *scope) PodsOf(owner types.UID, revision string) []health.Pod {
	var pods []health.Pod
	for _, d := range s.pods.of(owner, revision) {
		aboutClaim := func(name string) []health.Event {
			return s.events.aboutClaim(types.NamespacedName{Namespace: d.name.Namespace, Name: name})
		}
		pods = append(pods, d.pod.Explained(s.events.about(d.uid), aboutClaim))
	}
	return pods
}

// ReplicaSetsOf returns the ReplicaSets that a Deployment has of a revision.
func (s *scope) ReplicaSetsOf(owner types.UID, revision string) []types.UID {
	var sets []types.UID
	for _, d := range s.replicaSets.of(owner, revision) {
		sets = append(sets, d.uid)
	}
	return sets
}

// collection has the pods, or the ReplicaSets, of a namespace or of all.
type collection struct {
	w                   *Watches
	resource, namespace string
	items               map[types.NamespacedName]dependant
	owned               map[types.UID]set[types.NamespacedName]
	known               bool
	refused             bool // and said so
}

func newCollection(w *Watches, resource, namespace string) *collection {
	return &collection{
		w: w, resource: resource, namespace: namespace,
		items: map[types.NamespacedName]dependant{}, owned: map[types.UID]set[types.NamespacedName]{},
	}
}

// of returns what an owner has of a revision.
func (c *collection) of(owner types.UID, revision string) []dependant {
	var found []dependant
	for name := range c.owned[owner] {
		if d := c.items[name]; revision == "" || d.revision == revision {
			found = append(found, d)
		}
	}
	return found
}

func (c *collection) put(d dependant) {
	c.w.change(func(requeue requeues) { c.take(d, requeue) })
}

func (c *collection) take(d dependant, requeue requeues) {
	if before, ok := c.items[d.name]; ok {
		if before == d {
			return
		}
		drop(c.owned, before.owner, d.name)
	}
	c.items[d.name] = d
	if d.owner != "" {
		add(c.owned, d.owner, d.name)
	}
	c.concerned(d.name.Namespace, requeue)
}

func (c *collection) remove(d dependant) {
	c.w.change(func(requeue requeues) { c.discard(d.name, requeue) })
}

func (c *collection) discard(name types.NamespacedName, requeue requeues) {
	d, ok := c.items[name]
	if !ok {
		return
	}
	delete(c.items, name)
	drop(c.owned, d.owner, name)
	c.concerned(d.name.Namespace, requeue)
}

// concerned requeues the environments with a rollout in the namespace.
func (c *collection) concerned(namespace string, requeue requeues) { c.w.rollingIn(namespace, requeue) }

// allConcerned requeues the environments with a rollout in the collection's scope.
func (c *collection) allConcerned(requeue requeues) {
	for namespace := range c.w.moving {
		if c.namespace == namespace || c.namespace == metav1.NamespaceAll {
			c.concerned(namespace, requeue)
		}
	}
}

// rollingIn adds the environments that have a rollout in a namespace.
func (w *Watches) rollingIn(namespace string, requeue requeues) {
	for o := range w.moving[namespace] {
		requeue.add(o.live.Environment)
	}
}

func (c *collection) replace(all []dependant, _ string, _ time.Time) {
	c.w.change(func(requeue requeues) {
		there := make(set[types.NamespacedName], len(all))
		for _, d := range all {
			there[d.name] = struct{}{}
			c.take(d, requeue)
		}
		for name := range c.items {
			if _, ok := there[name]; !ok {
				c.discard(name, requeue)
			}
		}
		if !c.known {
			// Only now can pods and ReplicaSets be combined.
			c.allConcerned(requeue)
		}
		c.known, c.refused = true, false
		c.w.arrange()
	})
}

// lost warns once that failures will be found late: rollouts go on without the state of their pods.
func (c *collection) lost(err error) {
	var news bool
	c.w.change(func(requeue requeues) {
		news = !c.known && !c.refused
		c.refused = true
		if news {
			c.allConcerned(requeue)
		}
	})
	if news {
		c.w.cfg.Log.Warn("cannot watch the pods of rollouts", "resource", c.resource, "error", err)
	}
}
