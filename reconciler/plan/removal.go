package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// removal is the order in which objects are deleted. It is the reverse of the order in which they were applied, as far
// as the annotations of the live objects show it. Dependencies are deleted last.
type removal struct {
	// objects are the objects to delete, in order.
	objects []observed.Object
	live    map[manifest.Key]observed.Object
	// places are their positions when they were applied. An object that depends on others came no earlier than the last
	// of them.
	places map[manifest.Key]manifest.Place
	// dependents are the objects that depend on an object. They are deleted before it.
	dependents map[manifest.Key][]manifest.Key
	named      names
	path       []manifest.Key // the current path of visit
}

// removalOf orders objects for deletion. Annotations of objects that were never together in one commit may contradict
// each other. A cycle is cut somewhere, so that nothing waits forever.
func removalOf(objects []observed.Object) *removal {
	r := &removal{objects: objects, live: map[manifest.Key]observed.Object{}, places: map[manifest.Key]manifest.Place{}, dependents: map[manifest.Key][]manifest.Key{}, named: names{}}
	slices.SortFunc(objects, func(a, b observed.Object) int { return a.Key.Compare(b.Key) })
	for _, l := range objects {
		r.live[l.Key] = l
		r.named.add(l.Key)
	}
	for _, l := range objects {
		r.visit(l.Key)
	}
	r.sort()
	return r
}

func (r *removal) sort() {
	slices.SortStableFunc(r.objects, func(a, b observed.Object) int { return r.places[b.Key].Compare(r.places[a.Key]) })
}

// visit finds the place of an object, and its dependents.
func (r *removal) visit(key manifest.Key) manifest.Place {
	if place, visited := r.places[key]; visited {
		return place
	}
	r.path = append(r.path, key)
	l := r.live[key]
	place := placeOf(l)
	for _, reference := range references(l.Order.DependsOn) {
		targets, _ := r.named.find(key, reference)
		for _, target := range targets {
			if slices.Contains(r.path, target) {
				continue
			}
			r.dependents[target] = append(r.dependents[target], key)
			if other := r.visit(target); after(other, place) {
				place.Phase, place.Wave = other.Phase, other.Wave
			}
		}
	}
	r.path = r.path[:len(r.path)-1]
	r.places[key] = place
	return place
}

// placeOf returns the position of an object in the order in which it was applied.
func placeOf(l observed.Object) manifest.Place {
	place := manifest.KindPlace(l.Key.GroupKind())
	if wave, err := strconv.Atoi(l.Order.Wave); err == nil {
		return place.InWave(wave)
	}
	return place
}

// addLast puts an object below all others of a phase.
func (r *removal) addLast(l observed.Object, phase manifest.Phase) {
	r.objects, r.places[l.Key] = append(r.objects, l), manifest.Place{Phase: phase, Wave: math.MinInt}
	r.sort()
}

// stage returns the stage of a pass in which an object is deleted.
func (r *removal) stage(key manifest.Key) int {
	return stageDeletions + stageLast - stage(key, r.places[key])
}

// awaits returns what has to be gone before an object is deleted; empty for nothing.
func (r *removal) awaits(key manifest.Key) string {
	if dependents := r.dependents[key]; len(dependents) > 0 {
		return fmt.Sprintf("waits until %s is gone, which depends on it", dependents[0].Short())
	}
	place := r.places[key]
	first := r.objects[0].Key
	switch higher := r.places[first]; {
	case !after(higher, place):
		return ""
	case higher.Phase == manifest.Main && place.Phase == manifest.Main:
		return fmt.Sprintf("waits until %s is gone, in wave %d", first.Short(), higher.Wave)
	default:
		return fmt.Sprintf("waits until %s is gone", first.Short())
	}
}
