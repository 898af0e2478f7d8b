package observed_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

func TestOwnership(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	own := entry(manifest.FieldManager, metav1.ManagedFieldsOperationApply, "", `{"f:data":{"f:a":{},"f:b":{}}}`)
	kubectl := entry("kubectl-edit", metav1.ManagedFieldsOperationUpdate, "", `{"f:data":{"f:c":{}}}`)
	hash := observed.Ownership([]metav1.ManagedFieldsEntry{own})
	for _, c := range []struct {
		name   string
		fields []metav1.ManagedFieldsEntry
		want   string
	}{
		{"what others add is theirs", []metav1.ManagedFieldsEntry{kubectl, own}, hash},
		{"the order of the keys says nothing", []metav1.ManagedFieldsEntry{entry("berth", "Apply", "", `{"f:data": {"f:b":{}, "f:a":{}}}`)}, hash},
		{"what we only updated is not what we applied", []metav1.ManagedFieldsEntry{entry("berth", "Update", "", `{"f:data":{}}`)}, ""},
		{"nor is a subresource", []metav1.ManagedFieldsEntry{entry("berth", "Apply", "status", `{"f:status":{}}`)}, ""},
		{"what another manager applied is not ours", []metav1.ManagedFieldsEntry{entry("flux", "Apply", "", `{"f:data":{}}`)}, ""},
		{"an object that nobody manages is not ours", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := observed.Ownership(c.fields); got != c.want {
				t.Errorf("the hash is %q, want %q", got, c.want)
			}
		})
	}
	taken := entry(manifest.FieldManager, metav1.ManagedFieldsOperationApply, "", `{"f:data":{"f:a":{}}}`)
	if got := observed.Ownership([]metav1.ManagedFieldsEntry{taken}); hash == "" || got == hash {
		t.Errorf("a field that somebody took from us does not change the hash %q", hash)
	}
}

func TestReduce(t *testing.T) {
	finished := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	condition := func(kind string) edit {
		c := map[string]any{"type": kind, "status": "True", "reason": "Because", "lastTransitionTime": "2026-05-04T12:00:00Z"}
		return field([]any{c}, "status", "conditions")
	}
	deleted := func(u *unstructured.Unstructured) {
		u.SetDeletionTimestamp(&metav1.Time{Time: finished})
		u.SetFinalizers([]string{"example.com/backup"})
	}
	for _, c := range []struct {
		name   string
		object *unstructured.Unstructured
		want   health.Health
		job    *observed.Job
	}{
		{"a plain object is healthy when it is there", configMap("env"), health.Health{Status: health.Healthy}, nil},
		{"one on its way out says what holds it", configMap("env", deleted),
			health.Health{Status: health.Terminating, Message: "is being deleted; held by the finalizers example.com/backup"}, nil},
		{"a Job that has not finished", job("migrate"), health.Health{Status: health.Progressing, Message: "not started"}, &observed.Job{}},
		{"a Job that has run", job("migrate", condition("Complete")),
			health.Health{Status: health.Healthy}, &observed.Job{Finished: true, Succeeded: true, FinishedAt: finished}},
		{"a Job that failed", job("migrate", condition("Failed")),
			health.Health{Status: health.Failed, Message: "Because"}, &observed.Job{Finished: true, FinishedAt: finished}},
		{"a Job that runs, and has a condition that says so", job("migrate", condition("FailureTarget")),
			health.Health{Status: health.Progressing, Message: "failing, waiting for its pods to end: Because"}, &observed.Job{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := observed.Reduce(c.object)
			if got.Key != key(c.object) || got.Health != c.want {
				t.Errorf("it is reduced to %s, %+v; want %+v", got.Key, got.Health, c.want)
			}
			if c.job == nil {
				if got.Job != nil {
					t.Errorf("it is taken for a Job: %+v", got.Job)
				}
				return
			}
			c.job.Program = observed.Program(c.object)
			if got.Job != nil {
				c.job.Spec = got.Job.Spec
			}
			if got.Job == nil || *got.Job != *c.job {
				t.Errorf("the Job is reduced to %+v, want %+v", got.Job, c.job)
			}
		})
	}
}

// The digest of a Job's spec ignores what identifies this very object, and its time to live.
func TestSpecOfAJob(t *testing.T) {
	spec := func(o *unstructured.Unstructured) string { return observed.Reduce(o).Job.Spec }
	migrate := job("migrate")
	marked := completed(job("other", ttl(60)))
	if spec(completed(migrate)) != spec(marked) {
		t.Error("its name, its UID and its time to live make it another spec")
	}
	labelled := job("migrate", field("api", "spec", "template", "metadata", "labels", "app"))
	chosen := field("chosen", "spec", "selector", "matchLabels", "app")
	for what, other := range map[string]*unstructured.Unstructured{
		"another program": job("migrate", runs("app:2")), "a label of its pods": labelled,
		"a selector that its author chose": job("migrate", chosen, field(true, "spec", "manualSelector")),
	} {
		if spec(other) == spec(migrate) {
			t.Errorf("%s makes it no other spec", what)
		}
	}
}

func TestProgram(t *testing.T) {
	program := func(o *unstructured.Unstructured) string { return observed.Program(o) }
	if program(job("a")) != program(job("b", deadline(60), ttl(5))) {
		t.Error("what does not run makes it another program")
	}
	if program(job("a")) == program(job("a", runs("app:2"))) {
		t.Error("another image is the same program")
	}
}
