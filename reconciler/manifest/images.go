package manifest

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podPaths are the places of a pod spec in objects that create pods, also in custom resources that follow the
// convention.
var podPaths = [][]string{
	{"spec", "template", "spec"},
	{"spec", "jobTemplate", "spec", "template", "spec"},
}

// PodSpec returns the spec of the pods that an object runs, or nil if it runs none. The spec is shared with the object.
func PodSpec(o *unstructured.Unstructured) map[string]any {
	paths := podPaths
	if o.GetAPIVersion() == "v1" && o.GetKind() == "Pod" {
		paths = [][]string{{"spec"}}
	}
	for _, path := range paths {
		value, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...)
		if pod, ok := value.(map[string]any); ok && pod["containers"] != nil {
			return pod
		}
	}
	return nil
}

// Images returns the images that an object's pods pull, each once, in order: those of containers, init containers and
// image volumes. It omits images that are never pulled, because they are on the nodes already.
func Images(o *unstructured.Unstructured) []string {
	pod := PodSpec(o)
	var images []string
	add := func(image, policy any) {
		if name, _ := image.(string); name != "" && policy != "Never" && !slices.Contains(images, name) {
			images = append(images, name)
		}
	}
	for _, field := range []string{"initContainers", "containers"} {
		for container := range each(pod[field]) {
			add(container["image"], container["imagePullPolicy"])
		}
	}
	for volume := range each(pod["volumes"]) {
		if source, ok := volume["image"].(map[string]any); ok {
			add(source["reference"], source["pullPolicy"])
		}
	}
	return images
}

// each yields the objects of a list.
func each(list any) func(yield func(map[string]any) bool) {
	return func(yield func(map[string]any) bool) {
		items, _ := list.([]any)
		for _, item := range items {
			if object, ok := item.(map[string]any); ok && !yield(object) {
				return
			}
		}
	}
}

// Images returns the images of all objects of the set, each once, sorted.
func (s Set) Images() []string {
	var images []string
	for _, o := range s.Objects {
		images = append(images, Images(o.Unstructured)...)
	}
	slices.Sort(images)
	return slices.Compact(images)
}
