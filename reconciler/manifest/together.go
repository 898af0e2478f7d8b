package manifest

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// workloads are the kinds whose pods may depend on the result of a Job.
var workloads = []schema.GroupKind{{Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "StatefulSet"}, {Group: "apps", Kind: "DaemonSet"}}

// Together warns about Jobs that start at the same time as a workload with the same image or the same Secret: such a
// Job is often a migration that should run first. An explicit wave counts as intended.
func (s Set) Together() []Warning {
	var warnings []Warning
	for _, job := range s.Objects {
		if !IsJob(job.GroupVersionKind().GroupKind()) || job.GetAnnotations()[AnnotationJob] == "on-removal" || job.GetAnnotations()[AnnotationWave] != "" {
			continue
		}
		if workload, what := s.startsWith(job); what != "" {
			warnings = append(warnings, Warning{Origin: job.Origin, Object: job.Key().Short(), Text: fmt.Sprintf(
				"it starts together with %s, which uses the same %s; to run it first, give it the annotation %s: \"-1\"; if they are meant to start together: %s: \"0\"",
				workload.Short(), what, AnnotationWave, AnnotationWave)})
		}
	}
	return warnings
}

// startsWith returns the first workload that starts together with a Job, and what both use.
func (s Set) startsWith(job Object) (workload Key, what string) {
	place, _ := PlaceOf(job)
	images, secrets := uses(job)
	for _, o := range s.Objects {
		other, err := PlaceOf(o)
		waits := strings.Contains(o.GetAnnotations()[AnnotationDependsOn], job.Key().Short())
		if !slices.Contains(workloads, o.GroupVersionKind().GroupKind()) || err != nil || other.Wave != place.Wave || waits || o.GetNamespace() != job.GetNamespace() {
			continue
		}
		otherImages, otherSecrets := uses(o)
		if image := common(images, otherImages); image != "" {
			return o.Key(), "image " + image
		}
		if secret := common(secrets, otherSecrets); secret != "" {
			return o.Key(), secret
		}
	}
	return Key{}, ""
}

// uses returns the images of a workload's containers, and the Secrets that its pods name, as kind/name.
func uses(o Object) (images, secrets []string) {
	pod, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec")
	containers, _ := pod["containers"].([]any)
	for _, c := range containers {
		container, _ := c.(map[string]any)
		if image, _ := container["image"].(string); image != "" {
			images = append(images, image)
		}
	}
	names := map[string]bool{}
	named(pod, names)
	for name := range names {
		if strings.HasPrefix(name, "Secret/") {
			secrets = append(secrets, name)
		}
	}
	slices.Sort(secrets)
	return images, secrets
}

// common returns the first text that both lists have; empty for none.
func common(a, b []string) string {
	if i := slices.IndexFunc(a, func(text string) bool { return slices.Contains(b, text) }); i >= 0 {
		return a[i]
	}
	return ""
}
