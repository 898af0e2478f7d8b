package observed_test

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/internal/objecttest"
	"berth.dev/berth/reconciler/manifest"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// edit changes an object.
type edit = objecttest.Edit

var (
	field     = objecttest.Field
	annotated = objecttest.Annotated
	runs      = objecttest.Runs
	ttl       = objecttest.TTL
	deadline  = objecttest.Deadline
)

func object(apiVersion, kind, name string, edits ...edit) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace("posts")
	u.SetName(name)
	for _, e := range edits {
		e(u)
	}
	return u
}

func configMap(name string, edits ...edit) *unstructured.Unstructured {
	return object("v1", "ConfigMap", name, edits...)
}

func deployment(name string, edits ...edit) *unstructured.Unstructured {
	return object("apps/v1", "Deployment", name, edits...)
}

func job(name string, edits ...edit) *unstructured.Unstructured {
	return object("batch/v1", "Job", name, append([]edit{runs("app:1")}, edits...)...)
}

func managed(entries ...metav1.ManagedFieldsEntry) edit {
	return func(u *unstructured.Unstructured) { u.SetManagedFields(entries) }
}

// completed returns a Job as the API server stores it on creation.
func completed(job *unstructured.Unstructured) *unstructured.Unstructured {
	job = job.DeepCopy()
	for _, name := range []string{"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"} {
		field(job.GetName(), "spec", "template", "metadata", "labels", name)(job)
	}
	field(job.GetName(), "spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid")(job)
	return job
}

func key(u *unstructured.Unstructured) manifest.Key {
	return manifest.Object{Unstructured: u}.Key()
}
