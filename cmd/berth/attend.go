package main

import (
	"context"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// attend calls look with all objects of a kind, sorted by name, now and whenever one of them changes, until look returns
// true or the context ends. It restarts a watch that breaks, from a new listing. Only the first listing must succeed at
// once.
func (v *viewer) attend(ctx context.Context, k *kind, options []client.ListOption, look func([]client.Object) bool) error {
	a := attendance{viewer: v, kind: k, options: options, look: look}
	enough, err := a.list(ctx)
	if err != nil {
		return explain(err, v.namespace)
	}
	for pause := firstPause; !enough; {
		if enough, err = a.follow(ctx); enough {
			return nil
		}
		if err == nil {
			pause = firstPause
		}
		if !wait(ctx, pause) {
			return context.Cause(ctx)
		}
		listed := err
		if listed == nil {
			enough, listed = a.list(ctx)
		}
		if isPermanent(listed) {
			return explain(listed, v.namespace)
		}
		if listed != nil {
			pause = min(2*pause, lastPause)
		}
	}
	return nil
}

// attendance is the state of one call of attend.
type attendance struct {
	*viewer
	kind    *kind
	options []client.ListOption
	look    func([]client.Object) bool
	objects map[string]client.Object
	version string
}

func (a *attendance) list(ctx context.Context) (enough bool, err error) {
	list := a.kind.list()
	if err := a.List(ctx, list, a.options...); err != nil {
		return false, err
	}
	a.objects, a.version = map[string]client.Object{}, list.GetResourceVersion()
	for _, object := range a.kind.items(list) {
		a.objects[object.GetName()] = object
	}
	return a.seen(), nil
}

func (a *attendance) seen() (enough bool) {
	names := slices.Sorted(maps.Keys(a.objects))
	objects := make([]client.Object, 0, len(names))
	for _, name := range names {
		objects = append(objects, a.objects[name])
	}
	return a.look(objects)
}

// follow handles the events of one watch until it breaks.
func (a *attendance) follow(ctx context.Context) (enough bool, err error) {
	since := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: a.version}}
	watching, err := a.Watch(ctx, a.kind.list(), append(slices.Clip(a.options), since)...)
	if err != nil {
		return false, expiry(err)
	}
	defer watching.Stop()
	for event := range watching.ResultChan() {
		if event.Type == watch.Error {
			return false, expiry(apierrors.FromObject(event.Object))
		}
		object, ok := event.Object.(client.Object)
		if !ok {
			continue
		}
		if a.objects[object.GetName()] = object; event.Type == watch.Deleted {
			delete(a.objects, object.GetName())
		}
		if a.seen() {
			return true, nil
		}
	}
	return false, nil
}
