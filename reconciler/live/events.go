package live

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"berth.dev/berth/health"
)

// maxSightings limits the events that are kept for a scope. Dropped events of a persisting problem are sent again.
const maxSightings = 2000

// routine excludes the reasons of events that every rollout brings, and that explain nothing. Normal events of other reasons
// are included: the volume controller reports a missing storage class as one.
const routine = "reason!=Scheduled,reason!=Pulling,reason!=Pulled,reason!=Created,reason!=Started,reason!=Killing," +
	"reason!=SuccessfulCreate,reason!=SuccessfulDelete,reason!=ScalingReplicaSet,reason!=Completed"

// ofReasons lists and watches events that may explain something.
func ofReasons(c client[*unstructured.UnstructuredList]) *cache.ListWatch {
	all := listWatch(c, "")
	list, watches := all.ListWithContextFunc, all.WatchFuncWithContext
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = routine
			return list(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = routine
			return watches(ctx, o)
		},
	}
}

// sighting is an event, reduced; its about is zero if it explains nothing.
type sighting struct {
	about health.Subject
	event health.Event
}

func reduceEvent(obj runtime.Object) sighting {
	event, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return sighting{}
	}
	about, e, _ := health.EventOf(event)
	return sighting{about, e}
}

// eventKey identifies events that replace each other.
type eventKey struct {
	about types.UID
	// what is the reason, and the kind of a failed probe.
	what string
}

func (s sighting) key() eventKey {
	probe, _, _ := strings.Cut(s.event.Message, " probe ")
	if s.event.Reason != "Unhealthy" {
		probe = ""
	}
	return eventKey{s.about.UID, s.event.Reason + probe}
}

// sightings are the newest events of a namespace, or of all.
type sightings struct {
	w *Watches
	// of has them by what they are about, order in the order in which they were first seen.
	of    map[types.UID]map[eventKey]health.Event
	order []eventKey
	// claims has the UIDs of PersistentVolumeClaims, which pods name.
	claims map[types.NamespacedName]types.UID
}

func newSightings(w *Watches) *sightings {
	return &sightings{w: w, of: map[types.UID]map[eventKey]health.Event{}, claims: map[types.NamespacedName]types.UID{}}
}

// about returns the events about an object.
func (s *sightings) about(uid types.UID) []health.Event {
	return slices.SortedFunc(maps.Values(s.of[uid]), func(a, b health.Event) int { return a.Time.Compare(b.Time) })
}

func (s *sightings) aboutClaim(name types.NamespacedName) []health.Event {
	return s.about(s.claims[name])
}

func (s *sightings) put(seen sighting) {
	s.w.change(func(requeue requeues) { s.take(seen, requeue) })
}

// take stores an event. A mere repetition requeues no environment, unless its time shows that a refusal still stands.
func (s *sightings) take(seen sighting, requeue requeues) {
	about, key := seen.about, seen.key()
	if about.UID == "" {
		return
	}
	before, known := s.of[about.UID][key]
	if known && seen.event.Time.Before(before.Time) {
		return
	}
	if !known {
		s.order = append(s.order, key)
		s.clip()
	}
	if s.of[about.UID] == nil {
		s.of[about.UID] = map[eventKey]health.Event{}
	}
	s.of[about.UID][key] = seen.event
	if about.Kind == "PersistentVolumeClaim" {
		s.claims[types.NamespacedName{Namespace: about.Namespace, Name: about.Name}] = about.UID
	}
	if before.Message != seen.event.Message || seen.event.Reason == "FailedCreate" {
		s.w.rollingIn(about.Namespace, requeue)
	}
}

// clip drops the oldest event.
func (s *sightings) clip() {
	for len(s.order) > maxSightings {
		oldest := s.order[0]
		s.order = s.order[1:]
		delete(s.of[oldest.about], oldest)
		if len(s.of[oldest.about]) == 0 {
			delete(s.of, oldest.about)
			maps.DeleteFunc(s.claims, func(_ types.NamespacedName, uid types.UID) bool { return uid == oldest.about })
		}
	}
}

// remove does nothing: an event that the server dropped after an hour was true nevertheless.
func (s *sightings) remove(sighting) {}

func (s *sightings) replace(all []sighting, _ string, _ time.Time) {
	s.w.change(func(requeue requeues) {
		for _, seen := range all {
			s.take(seen, requeue)
		}
	})
}

// lost does nothing: without events, messages have less detail.
func (s *sightings) lost(error) {}
