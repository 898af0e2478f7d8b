package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// The first and the longest pause before a broken watch is restarted.
const (
	firstPause = time.Second
	lastPause  = 10 * time.Second
)

// watch prints the objects and then every change, until the context ends. It restarts a broken watch from a new listing,
// so that it misses no change and prints none twice.
func (l *listing) watch(ctx context.Context, objects []client.Object, version string) error {
	shown := map[string]string{} // what was printed last, by name
	for {
		if err := l.show(objects, shown); err != nil {
			return err
		}
		broke, err := l.follow(ctx, version, shown)
		if err != nil {
			return err
		}
		objects, version, err = l.again(ctx, broke, shown)
		switch {
		case ctx.Err() != nil:
			return nil // the user interrupted it
		case err != nil:
			return explain(err, l.namespace)
		}
	}
}

// show prints the objects whose printed columns have changed.
func (l *listing) show(objects []client.Object, shown map[string]string) error {
	var news []client.Object
	for _, object := range objects {
		if state := l.printer.state(object); shown[object.GetName()] != state {
			shown[object.GetName()] = state
			news = append(news, object)
		}
	}
	if len(news) == 0 {
		return nil
	}
	return l.printer.some(news...)
}

// follow prints the changes of one watch until it breaks, and returns why it broke. err is an error of printing.
func (l *listing) follow(ctx context.Context, version string, shown map[string]string) (broke, err error) {
	since := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version}}
	watching, broke := l.Watch(ctx, l.kind.list(), append(slices.Clip(l.options), since)...)
	if broke != nil {
		return broke, nil
	}
	defer watching.Stop()
	for event := range watching.ResultChan() {
		if event.Type == watch.Error {
			return expiry(apierrors.FromObject(event.Object)), nil
		}
		object, ok := event.Object.(client.Object)
		if !ok || !l.wants(object) {
			continue
		}
		if event.Type == watch.Deleted {
			deleted(object)
		}
		if err := l.show([]client.Object{object}, shown); err != nil {
			return nil, err
		}
		if event.Type == watch.Deleted {
			delete(shown, object.GetName())
		}
	}
	return nil, nil
}

// again lists the objects after a watch broke, and retries until it succeeds.
func (l *listing) again(ctx context.Context, broke error, shown map[string]string) (objects []client.Object, version string, err error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if isPermanent(broke) {
			return nil, "", broke
		}
		if !wait(ctx, pause) {
			return nil, "", ctx.Err()
		}
		if broke != nil {
			l.complain("the watch was interrupted; retrying: %v", explain(broke, l.namespace))
		}
		var all []client.Object
		if all, version, broke = l.read(ctx); broke == nil {
			l.bury(all, shown)
			return l.wanted(all), version, nil
		}
	}
}

// bury reports the objects that were deleted while there was no watch.
func (l *listing) bury(there []client.Object, shown map[string]string) {
	gone := maps.Clone(shown)
	for _, object := range there {
		delete(gone, object.GetName())
	}
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		delete(shown, name)
		l.complain("%s %s is gone", l.kind.singular, name)
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// expiry returns nil for an expired version, because a new listing is enough to go on.
func expiry(err error) error {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return nil
	}
	return err
}

// deleted sets the status of a deleted Environment for its last line.
func deleted(object client.Object) {
	env, ok := object.(*v1alpha1.Environment)
	if !ok {
		return
	}
	for i := range env.Status.Conditions {
		if c := &env.Status.Conditions[i]; c.Type == v1alpha1.ConditionReady {
			c.Reason, c.Message = "Deleted", "the Environment is gone"
		}
	}
}

// must panics on errors that only a bug in the program can cause.
func must(err error) {
	if err != nil {
		panic(errors.Join(errors.New("this is a bug in berth"), err))
	}
}
