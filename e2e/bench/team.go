package main

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

var (
	environments = schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: "environments"}
	namespaces   = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	configMaps   = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployment   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	secrets      = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	jobs         = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
)

// limit is the longest time for a rollout before the measurement fails.
const limit = 15 * time.Minute

// team is a Repository whose branches Berth rolls out.
type team struct {
	*world.Repository
	name string
}

// follow makes Berth follow the Git repository.
func (b *bench) follow(name string, settings ...func(*v1alpha1.RepositorySpec)) *team {
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL:       b.git.URL(),
		Poll:      "@every 1m",
		GoneAfter: metav1.Duration{Duration: time.Second},
		Webhook:   &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: hookSecret}},
		Environments: []v1alpha1.Entry{{
			Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: folder, Namespace: name + "-${BRANCH_SLUG}",
			Health: v1alpha1.Health{Timeout: metav1.Duration{Duration: limit}, ImagePullGrace: metav1.Duration{Duration: limit}},
		}},
	}}
	repository.Name = name
	for _, set := range settings {
		set(&repository.Spec)
	}
	return &team{Repository: b.world.Follow(b.t, repository), name: name}
}

// fromNow returns the options to watch one object from its current state on.
func (b *bench) fromNow(resource schema.GroupVersionResource, namespace, name string) metav1.ListOptions {
	b.t.Helper()
	options := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	// The object's own resource version may be too old to watch from.
	list, err := b.client.Resource(resource).Namespace(namespace).List(b.t.Context(), options)
	if err != nil || len(list.Items) != 1 {
		b.t.Fatalf("cannot read %s/%s in %s: %v", resource.Resource, name, namespace, err)
	}
	options.ResourceVersion = list.GetResourceVersion()
	return options
}

// watched calls see for each object of a watch, including those that exist at its start, until see returns true.
func (b *bench) watched(resource schema.GroupVersionResource, namespace string, options metav1.ListOptions, see func(watch.EventType, *unstructured.Unstructured) bool) {
	b.t.Helper()
	seconds := int64(2 * limit / time.Second)
	options.TimeoutSeconds = &seconds
	w, err := b.client.Resource(resource).Namespace(namespace).Watch(b.t.Context(), options)
	if err != nil {
		b.t.Fatalf("cannot watch %s: %v", resource.Resource, err)
	}
	defer w.Stop()
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		select {
		case event, open := <-w.ResultChan():
			object, ok := event.Object.(*unstructured.Unstructured)
			if !open || !ok || event.Type == watch.Error {
				b.t.Fatalf("the watch of %s has ended: %v", resource.Resource, event.Object)
			}
			if see(event.Type, object) {
				return
			}
		case <-late.C:
			b.t.Fatalf("no expected change at %s within %s", resource.Resource, limit)
		}
	}
}

// awaitHealthy waits until all environments of a team are healthy.
func (b *bench) awaitHealthy(t *team) { b.awaitAll(t, b.branches) }

// awaitAll waits until so many environments of a team are healthy.
func (b *bench) awaitAll(t *team, all int) {
	healthy := map[string]bool{}
	options := metav1.ListOptions{LabelSelector: v1alpha1.LabelRepository + "=" + t.name}
	b.watched(environments, deploy.Namespace, options, func(_ watch.EventType, object *unstructured.Unstructured) bool {
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		for _, c := range conditions {
			if condition, ok := c.(map[string]any); ok && condition["type"] == v1alpha1.ConditionReady {
				healthy[object.GetName()] = condition["reason"] == v1alpha1.ReasonHealthy
			}
		}
		return count(healthy) == all
	})
}

func count(set map[string]bool) (n int) {
	for _, is := range set {
		if is {
			n++
		}
	}
	return n
}

// remove deletes a team with everything it created.
func (b *bench) remove(t *team) {
	began := time.Now()
	t.Patch(`{"spec":{"environments":[{"name":"none","branches":["none"],"namespace":"none"}]}}`)
	world.AwaitFor(b.t, limit, "the environments of "+t.name+" are gone", func() (string, bool) {
		left := len(t.Environments())
		if len(t.Get().Status.Held) > 0 { // deleting this many at once triggers the deletion guard
			t.Patch(`{"metadata":{"annotations":{"` + v1alpha1.AnnotationConfirmed + `":"yes"}}}`)
		}
		return fmt.Sprintf("%d are left", left), left == 0
	})
	t.Remove()
	b.t.Logf("%s is gone after %s", t.name, time.Since(began).Round(time.Millisecond))
}
