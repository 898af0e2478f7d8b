package world

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// kinds are the kinds that scenarios use.
var kinds = map[string]schema.GroupVersionResource{
	"ConfigMap":               {Version: "v1", Resource: "configmaps"},
	"CronJob":                 {Group: "batch", Version: "v1", Resource: "cronjobs"},
	"Deployment":              {Group: "apps", Version: "v1", Resource: "deployments"},
	"Environment":             {Group: "berth.dev", Version: "v1alpha1", Resource: "environments"},
	"Event":                   {Group: "events.k8s.io", Version: "v1", Resource: "events"},
	"HorizontalPodAutoscaler": {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	"Ingress":                 {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	"Job":                     {Group: "batch", Version: "v1", Resource: "jobs"},
	"Namespace":               {Version: "v1", Resource: "namespaces"},
	"PersistentVolumeClaim":   {Version: "v1", Resource: "persistentvolumeclaims"},
	"Pod":                     {Version: "v1", Resource: "pods"},
	"Repository":              {Group: "berth.dev", Version: "v1alpha1", Resource: "repositories"},
	"Secret":                  {Version: "v1", Resource: "secrets"},
	"Service":                 {Version: "v1", Resource: "services"},
	"StatefulSet":             {Group: "apps", Version: "v1", Resource: "statefulsets"},
}

// deployed are the kinds that Contents reads.
var deployed = []string{"ConfigMap", "CronJob", "Deployment", "Ingress", "Job", "Secret", "Service", "StatefulSet"}

// An Object is a snapshot of an object in the cluster.
type Object struct{ *unstructured.Unstructured }

// Field returns the value at a path such as spec.replicas, or "".
func (o Object) Field(path string) string {
	value, found, err := unstructured.NestedFieldNoCopy(o.Object, strings.Split(path, ".")...)
	if err != nil || !found {
		return ""
	}
	return fmt.Sprint(value)
}

// Restarts returns how often the containers of a pod have been restarted.
func (o Object) Restarts() int {
	statuses, _, _ := unstructured.NestedSlice(o.Object, "status", "containerStatuses")
	n := 0
	for _, s := range statuses {
		status, _ := s.(map[string]any)
		restarts, _ := status["restartCount"].(int64)
		n += int(restarts)
	}
	return n
}

// Image returns the image of a workload's first container.
func (o Object) Image() string {
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if len(containers) == 0 {
		return ""
	}
	container, _ := containers[0].(map[string]any)
	image, _ := container["image"].(string)
	return image
}

// Find returns an object in the environment's namespace by kind and name, such as "Deployment/api".
func (e *Environment) Find(name string) (Object, bool) {
	e.t.Helper()
	resource, short := e.resource(name)
	object, err := e.world.client.Resource(resource).Namespace(e.Namespace()).Get(e.t.Context(), short, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Object{}, false
	}
	if err != nil {
		e.t.Fatalf("cannot look at %s of %s: %v", name, e.Branch, err)
	}
	return Object{object}, true
}

// Object returns an object, and fails if it does not exist.
func (e *Environment) Object(name string) Object {
	e.t.Helper()
	object, found := e.Find(name)
	if !found {
		e.t.Fatalf("%s of %s is not in the cluster", name, e.Branch)
	}
	return object
}

// AwaitObject waits until an object exists and satisfies a condition.
func (e *Environment) AwaitObject(name, what string, content func(Object) bool) Object {
	e.t.Helper()
	var object Object
	Await(e.t, fmt.Sprintf("%s of %s %s", name, e.Branch, what), func() (string, bool) {
		found, there := e.Find(name)
		if !there {
			return "it is not there", false
		}
		object = found
		text, _ := found.MarshalJSON()
		return string(text), content(found)
	})
	return object
}

// AwaitGone waits until an object does not exist.
func (e *Environment) AwaitGone(name string) {
	e.t.Helper()
	Await(e.t, fmt.Sprintf("%s of %s is gone", name, e.Branch), func() (string, bool) {
		_, there := e.Find(name)
		return "it is there", !there
	})
}

// Patch changes an object, or a subresource such as "status", with a merge patch, as a user does.
func (e *Environment) Patch(name, patch string, subresources ...string) {
	e.t.Helper()
	resource, short := e.resource(name)
	_, err := e.world.client.Resource(resource).Namespace(e.Namespace()).
		Patch(e.t.Context(), short, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"}, subresources...)
	if err != nil {
		e.t.Fatalf("cannot change %s of %s by hand: %v", name, e.Branch, err)
	}
}

// Delete deletes an object, as a user does.
func (e *Environment) Delete(name string) {
	e.t.Helper()
	resource, short := e.resource(name)
	background := metav1.DeletePropagationBackground
	err := e.world.client.Resource(resource).Namespace(e.Namespace()).
		Delete(e.t.Context(), short, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil {
		e.t.Fatalf("cannot delete %s of %s by hand: %v", name, e.Branch, err)
	}
}

func (e *Environment) resource(name string) (schema.GroupVersionResource, string) {
	e.t.Helper()
	kind, short, _ := strings.Cut(name, "/")
	resource, known := kinds[kind]
	if !known || short == "" {
		e.t.Fatalf("%q is not KIND/NAME of a kind that scenarios speak of", name)
	}
	return resource, short
}

// Contents maps the objects of an environment, by "Kind/name", to the result of state.
type Contents map[string]string

// Contents returns the environment's objects once nobody has written them for a moment.
func (e *Environment) Contents() Contents {
	e.t.Helper()
	var last Contents
	var since time.Time
	Await(e.t, "nobody has more to write in "+e.Branch, func() (string, bool) {
		now := e.look()
		if !maps.Equal(now, last) {
			last, since = now, time.Now()
		}
		return fmt.Sprint(now), time.Since(since) > 700*time.Millisecond
	})
	return last
}

func (e *Environment) look() Contents {
	e.t.Helper()
	contents := Contents{}
	for _, kind := range deployed {
		list, err := e.world.client.Resource(kinds[kind]).Namespace(e.Namespace()).
			List(e.t.Context(), metav1.ListOptions{LabelSelector: "berth.dev/environment"})
		if err != nil {
			e.t.Fatalf("cannot look at the contents of %s: %v", e.Branch, err)
		}
		for _, item := range list.Items {
			contents[kind+"/"+item.GetName()] = state(&item)
		}
	}
	return contents
}

// state returns a value that changes with every write to an object. For kinds that have a status it ignores the status,
// because their controllers write it at any time.
func state(o *unstructured.Unstructured) string {
	switch o.GetKind() {
	case "ConfigMap", "Secret", "Service":
		return fmt.Sprint(o.GetUID(), " at ", o.GetResourceVersion())
	}
	var writes []string
	for _, write := range o.GetManagedFields() {
		if write.Subresource == "" {
			writes = append(writes, write.String())
		}
	}
	return fmt.Sprint(o.GetUID(), " of generation ", o.GetGeneration(), o.GetLabels(), o.GetAnnotations(), writes)
}

// Changed returns the names of the objects that are different, new or gone.
func (c Contents) Changed(after Contents) []string {
	changed := map[string]bool{}
	for name, state := range c {
		changed[name] = after[name] != state
	}
	for name, state := range after {
		changed[name] = c[name] != state
	}
	maps.DeleteFunc(changed, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(changed))
}
