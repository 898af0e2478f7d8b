package live

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

const (
	// patience is how long a rollout runs before its pods are watched: most end sooner, and early pods show nothing useful.
	patience = time.Second
	// linger is how long the pods are watched after everything has settled.
	linger = 5 * time.Second
	// manyNamespaces is the number of namespaces above which one watch covers all pods of the cluster, because many watches
	// cost more than irrelevant pods.
	manyNamespaces = 50
)

var (
	podResource        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	replicaSetResource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	eventResource      = schema.GroupVersionResource{Version: "v1", Resource: "events"}
)

// rollouts are the workloads that have not settled, and the watches of their pods.
type rollouts struct {
	// moving has the workloads that have not settled, by namespace.
	moving map[string]set[*object]
	// wanted has the namespaces whose pods are to be watched, due those to review.
	wanted, due set[string]
	// scopes are the watches there are, by namespace; "" is all of the cluster.
	scopes map[string]*scope
}

func newRollouts() rollouts {
	return rollouts{moving: map[string]set[*object]{}, wanted: set[string]{}, due: set[string]{}, scopes: map[string]*scope{}}
}

// moves reports whether an object is an unsettled workload in an environment that is followed.
func (w *Watches) moves(o *object) bool {
	_, followed := w.environments[o.live.Environment]
	return followed && health.HasPods(o.live.Key.GroupKind()) && o.unsettled()
}

// unsettled reports whether the pods of a workload matter: it is not healthy yet, or it has not been checked whether it
// stays healthy.
func (o *object) unsettled() bool {
	switch o.live.Health.Status {
	case health.Progressing, health.Failed:
		return true
	case health.Healthy:
		return !o.proven && !manifest.IsJob(o.live.Key.GroupKind())
	}
	return false
}

// retrack reviews the workloads of an environment when Follow or Forget is called for it.
func (w *Watches) retrack(environment string) {
	for o := range w.members[environment] {
		w.track(o)
	}
}

// track records whether a workload is unsettled.
func (w *Watches) track(o *object) {
	if !w.moves(o) {
		w.untrack(o)
		return
	}
	add(w.moving, o.live.Key.Namespace, o)
	w.revisit(o.live.Key.Namespace)
}

// untrack records that a workload is settled.
func (w *Watches) untrack(o *object) {
	drop(w.moving, o.live.Key.Namespace, o)
	w.revisit(o.live.Key.Namespace)
}

// revisit schedules a review of whether to watch the pods of a namespace, if that may change.
func (w *Watches) revisit(namespace string) {
	_, wanted := w.wanted[namespace]
	_, due := w.due[namespace]
	switch wants := len(w.moving[namespace]) > 0; {
	case due || wants == wanted:
		return
	case wants:
		w.later(patience, func(requeues) { w.review(namespace) })
	default:
		w.later(linger, func(requeues) { w.review(namespace) })
	}
	w.due[namespace] = struct{}{}
}

// review decides whether the pods of a namespace are watched.
func (w *Watches) review(namespace string) {
	delete(w.due, namespace)
	delete(w.wanted, namespace)
	if len(w.moving[namespace]) > 0 {
		w.wanted[namespace] = struct{}{}
	}
	w.arrange()
}

// arrange starts the wanted watches, and stops the others once the new ones are complete, so that a workload never loses the
// state of its pods.
func (w *Watches) arrange() {
	target := w.wanted
	_, all := w.scopes[metav1.NamespaceAll]
	if n := len(w.wanted); n > manyNamespaces || all && n > manyNamespaces/2 {
		target = set[string]{metav1.NamespaceAll: {}}
	}
	ready := true
	for namespace := range target {
		s, ok := w.scopes[namespace]
		if !ok {
			s = w.newScope(namespace)
			w.scopes[namespace] = s
		}
		ready = ready && s.known()
	}
	if !ready {
		return
	}
	for namespace, s := range w.scopes {
		if _, ok := target[namespace]; !ok {
			s.stop()
			delete(w.scopes, namespace)
		}
	}
}

// scope is the watch of the pods, ReplicaSets and events of a namespace, or of all.
type scope struct {
	pods, replicaSets *collection
	events            *sightings
	stop              context.CancelFunc
}

func (w *Watches) newScope(namespace string) *scope {
	s := &scope{pods: newCollection(w, "pods", namespace), replicaSets: newCollection(w, "replicasets", namespace), events: newSightings(w)}
	pods := feed[dependant]{
		into: s.pods, reduce: reducePod, cfg: &w.cfg,
		open: func() (*cache.ListWatch, error) {
			return listWatch[*unstructured.UnstructuredList](w.cfg.Dynamic.Resource(podResource).Namespace(namespace), ""), nil
		},
	}
	replicaSets := feed[dependant]{
		into: s.replicaSets, reduce: reduceReplicaSet, cfg: &w.cfg,
		open: func() (*cache.ListWatch, error) {
			return listWatch[*metav1.PartialObjectMetadataList](w.cfg.Metadata.Resource(replicaSetResource).Namespace(namespace), ""), nil
		},
	}
	events := feed[sighting]{
		into: s.events, reduce: reduceEvent, cfg: &w.cfg,
		open: func() (*cache.ListWatch, error) {
			return ofReasons(w.cfg.Dynamic.Resource(eventResource).Namespace(namespace)), nil
		},
	}
	stopPods, stopReplicaSets, stopEvents := w.begin(pods.run), w.begin(replicaSets.run), w.begin(events.run)
	s.stop = func() { stopPods(); stopReplicaSets(); stopEvents() }
	return s
}

// known reports whether everything that judgements need has been listed; events only explain them.
func (s *scope) known() bool { return s.pods.known && s.replicaSets.known }

// scopeOf returns the watch that knows the pods of a namespace; nil if none does yet.
func (w *Watches) scopeOf(namespace string) *scope {
	for _, name := range []string{namespace, metav1.NamespaceAll} {
		if s, ok := w.scopes[name]; ok && s.known() {
			return s
		}
	}
	return nil
}

// hopeless reports whether the pods of a namespace cannot be watched.
func (w *Watches) hopeless(namespace string) bool {
	for _, name := range []string{namespace, metav1.NamespaceAll} {
		if s, ok := w.scopes[name]; ok && (s.pods.refused || s.replicaSets.refused) {
			return true
		}
	}
	return false
}
