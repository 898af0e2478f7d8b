package live

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
)

// Where Kubernetes' controllers write to which revision of its workload something belongs.
const (
	deploymentRevision = "deployment.kubernetes.io/revision"        // annotation of Deployment and ReplicaSet
	daemonSetRevision  = "deprecated.daemonset.template.generation" // annotation, deprecated but not replaced
	daemonPodRevision  = "pod-template-generation"                  // label
	statefulPodRev     = "controller-revision-hash"                 // label
)

// revision is the newest revision of a workload; which of its pods belong to it.
type revision struct {
	// seen says that the controller has seen the newest change. Before that nobody can tell the newest
	// pods from the old ones, and the old ones' troubles are what the change may be about to end.
	seen bool
	name string
}

// revisionOf returns the newest revision of a workload; nil for kinds that have none.
func revisionOf(obj *unstructured.Unstructured) *revision {
	gk := obj.GroupVersionKind().GroupKind()
	if _, ok := workloads[gk]; !ok || gk.Group != "apps" {
		return nil
	}
	observed, _, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	r := &revision{seen: observed >= obj.GetGeneration()}
	switch gk.Kind {
	case "Deployment":
		r.name = obj.GetAnnotations()[deploymentRevision]
	case "DaemonSet":
		r.name = obj.GetAnnotations()[daemonSetRevision]
	case "StatefulSet":
		r.name, _, _ = unstructured.NestedString(obj.Object, "status", "updateRevision")
	}
	return r
}

// tellsPods says whether it is known which pods are the object's newest. After a write of our own it is
// not until the watch brings what the controller makes of it.
func (o *object) tellsPods() bool {
	if o.live.Key.Group != "apps" {
		return true
	}
	return o.revision != nil && o.revision.seen
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
	if owner := metav1.GetControllerOf(pod); owner != nil {
		switch owner.Kind {
		case "StatefulSet":
			d.revision = pod.GetLabels()[statefulPodRev]
		case "DaemonSet":
			d.revision = pod.GetLabels()[daemonPodRevision]
		}
	}
	return d
}

func reduceReplicaSet(obj runtime.Object) dependant {
	set, ok := obj.(metav1.Object)
	if !ok {
		return dependant{}
	}
	d := dependantOf(set)
	d.revision = set.GetAnnotations()[deploymentRevision]
	return d
}

func dependantOf(obj metav1.Object) dependant {
	d := dependant{
		name: types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()},
		uid:  obj.GetUID(),
	}
	if owner := metav1.GetControllerOf(obj); owner != nil {
		d.owner = owner.UID
	}
	return d
}

// newest returns the pods that the workload's newest revision has, by name.
func (w *Watches) newest(o *object) []health.Pod {
	s := w.scopeOf(o.live.Key.Namespace)
	if s == nil || !o.tellsPods() {
		return nil
	}
	var pods []health.Pod
	collect := func(owner types.UID, revision string) {
		for _, d := range s.pods.of(owner, revision) {
			pods = append(pods, d.pod)
		}
	}
	switch {
	case o.revision == nil || o.revision.name == "": // a Job or a ReplicaSet
		collect(o.live.UID, "")
	case o.live.Key.Kind == "Deployment":
		for _, set := range s.replicaSets.of(o.live.UID, o.revision.name) {
			collect(set.uid, "")
		}
	default:
		collect(o.live.UID, o.revision.name)
	}
	slices.SortFunc(pods, func(a, b health.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return pods
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
	c.w.change(func(wake wakes) { c.take(d, wake) })
}

func (c *collection) take(d dependant, wake wakes) {
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
	c.concerned(d.name.Namespace, wake)
}

func (c *collection) remove(d dependant) {
	c.w.change(func(wake wakes) { c.discard(d.name, wake) })
}

func (c *collection) discard(name types.NamespacedName, wake wakes) {
	d, ok := c.items[name]
	if !ok {
		return
	}
	delete(c.items, name)
	drop(c.owned, d.owner, name)
	c.concerned(d.name.Namespace, wake)
}

// concerned wakes those who have a rollout in the namespace.
func (c *collection) concerned(namespace string, wake wakes) {
	for o := range c.w.moving[namespace] {
		wake.add(o.live.Environment)
	}
}

func (c *collection) replace(all []dependant, _ string, _ time.Time) {
	c.w.change(func(wake wakes) {
		there := make(set[types.NamespacedName], len(all))
		for _, d := range all {
			there[d.name] = struct{}{}
			c.take(d, wake)
		}
		for name := range c.items {
			if _, ok := there[name]; !ok {
				c.discard(name, wake)
			}
		}
		if !c.known {
			// Only now what pods and ReplicaSets say can be put together.
			for namespace := range c.w.moving {
				if c.namespace == namespace || c.namespace == metav1.NamespaceAll {
					c.concerned(namespace, wake)
				}
			}
		}
		c.known, c.refused = true, false
		c.w.arrange()
	})
}

// lost says once that failures will be found late: rollouts go on without what their pods say.
func (c *collection) lost(err error) {
	c.w.mu.Lock()
	news := !c.known && !c.refused
	c.refused = true
	c.w.mu.Unlock()
	if news {
		c.w.cfg.Log.Warn("what pods say of failing rollouts cannot be watched", "resource", c.resource, "error", err)
	}
}
