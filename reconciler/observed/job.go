package observed

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// Job is what a plan needs to know about a run of a Job.
type Job struct {
	Finished, Succeeded bool
	FinishedAt          time.Time
	// Program is a digest of the images and commands of its containers. Spec is a digest of the whole spec as the API
	// server completed it.
	Program, Spec string
}

// Runs reports whether a Job may be in the middle of its work. A suspended Job has no pods. To wait for it would never
// end.
func (o Object) Runs() bool {
	return o.Job == nil || !o.Job.Finished && o.Health.Status != health.Suspended
}

func reduceJob(obj *unstructured.Unstructured) *Job {
	j := &Job{Program: Program(obj), Spec: specOf(obj)}
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["status"] != "True" {
			continue
		}
		if t := condition["type"]; t == "Complete" || t == "Failed" {
			j.Finished, j.Succeeded = true, t == "Complete"
			at, _ := condition["lastTransitionTime"].(string)
			j.FinishedAt, _ = time.Parse(time.RFC3339, at)
		}
	}
	return j
}

// generated are the labels that the API server adds to the pods of a Job: its name and UID.
var generated = []string{"batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-name", "job-name"}

// specOf returns a digest of a Job's spec without the time to live and without what the API server adds for this very
// object. Two specs that differ only in defaults that one of them leaves out have the same digest.
func specOf(job *unstructured.Unstructured) string {
	there, _ := job.Object["spec"].(map[string]any)
	spec := maps.Clone(there)
	delete(spec, "ttlSecondsAfterFinished")
	if spec["manualSelector"] != true {
		delete(spec, "selector")
	}
	template, _ := spec["template"].(map[string]any)
	metadata, _ := template["metadata"].(map[string]any)
	if metadata != nil {
		metadata = maps.Clone(metadata)
		labels, _ := metadata["labels"].(map[string]any)
		labels = maps.Clone(labels)
		maps.DeleteFunc(labels, func(name string, _ any) bool { return slices.Contains(generated, name) })
		metadata["labels"] = labels
		delete(metadata, "creationTimestamp")
		template = maps.Clone(template)
		template["metadata"] = metadata
		spec["template"] = template
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return ""
	}
	return manifest.Digest(string(text))
}

// Program returns a digest of the images and commands that a Job's pods run. It shows whether a Job that Berth did not
// create did the same work.
func Program(job *unstructured.Unstructured) string {
	var program []any
	for _, list := range []string{"initContainers", "containers"} {
		containers, _, _ := unstructured.NestedSlice(job.Object, "spec", "template", "spec", list)
		for _, c := range containers {
			if container, ok := c.(map[string]any); ok {
				program = append(program, container["image"], container["command"], container["args"])
			}
		}
	}
	text, err := json.Marshal(program)
	if err != nil {
		return ""
	}
	return manifest.Digest(string(text))
}
