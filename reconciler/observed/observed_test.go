package observed_test

import (
	"reflect"
	"slices"
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
		{"an object without a manager is not ours", nil, ""},
		{"without fields we applied nothing", []metav1.ManagedFieldsEntry{{Manager: "berth", Operation: "Apply"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := observed.Ownership(c.fields); got != c.want {
				t.Errorf("the hash is %q, want %q", got, c.want)
			}
		})
	}
	taken := entry(manifest.FieldManager, metav1.ManagedFieldsOperationApply, "", `{"f:data":{"f:a":{}}}`)
	if got := observed.Ownership([]metav1.ManagedFieldsEntry{taken}); hash == "" || got == hash {
		t.Errorf("a field that another manager took does not change the hash %q", hash)
	}
	unreadable := func(text string) string {
		return observed.Ownership([]metav1.ManagedFieldsEntry{entry("berth", "Apply", "", text)})
	}
	if unreadable(`{"f:a"`) == unreadable(`{"f:b"`) {
		t.Error("unreadable fields have one hash")
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
		{"a Job with a condition that is not true", job("migrate", field([]any{map[string]any{"type": "Complete", "status": "False"}}, "status", "conditions")),
			health.Health{Status: health.Progressing, Message: "not started"}, &observed.Job{}},
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
	if stored := completed(labelled); spec(stored) == "" || !reflect.DeepEqual(stored, completed(labelled)) {
		t.Errorf("reading it changed it: %v", stored)
	}
	chosen := field("chosen", "spec", "selector", "matchLabels", "app")
	marked = job("migrate", field(nil, "spec", "template", "metadata", "creationTimestamp"), field(map[string]any{}, "spec", "template", "metadata", "labels"))
	if spec(marked) != spec(completed(migrate)) {
		t.Error("an empty time of creation makes it another spec")
	}
	chooses := func(value string) *unstructured.Unstructured {
		return job("migrate", field(true, "spec", "manualSelector"), field(value, "spec", "selector", "matchLabels", "app"))
	}
	if spec(chooses("a")) == spec(chooses("b")) {
		t.Error("another selector that its author chose makes it no other spec")
	}
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
	containers := func(list, field, value string) *unstructured.Unstructured {
		j := job("a")
		container := map[string]any{"name": "main", "image": "app:1", field: value}
		if err := unstructured.SetNestedSlice(j.Object, []any{container}, "spec", "template", "spec", list); err != nil {
			t.Fatal(err)
		}
		return j
	}
	seen := map[string]bool{program(job("a")): true}
	for _, other := range []*unstructured.Unstructured{
		containers("containers", "command", "migrate"), containers("containers", "args", "migrate"), containers("initContainers", "command", "migrate"),
	} {
		if seen[program(other)] {
			t.Errorf("%v is the same program as another", other.Object["spec"])
		}
		seen[program(other)] = true
	}
}

// Metadata says nothing of health: such an object counts as healthy because it exists.
func TestReduceMetadata(t *testing.T) {
	controller := true
	o := job("migrate", func(u *unstructured.Unstructured) {
		u.SetFinalizers([]string{"example.com/backup"})
		u.SetOwnerReferences([]metav1.OwnerReference{{Kind: "CronJob", Name: "nightly", Controller: &controller}})
	})
	got := observed.ReduceMetadata(o, o.GroupVersionKind())
	if got.Health != (health.Health{Status: health.Healthy}) || got.Job != nil || got.Finalizers != nil || !got.Controlled {
		t.Errorf("it is reduced to %+v", got)
	}
	if o.SetOwnerReferences(nil); observed.ReduceMetadata(o, o.GroupVersionKind()).Controlled {
		t.Error("without an owner, it is controlled")
	}
	o.SetDeletionTimestamp(&metav1.Time{Time: noon})
	want := health.Health{Status: health.Terminating, Message: "is being deleted; held by the finalizers example.com/backup"}
	if got := observed.ReduceMetadata(o, o.GroupVersionKind()); got.Health != want || !slices.Equal(got.Finalizers, o.GetFinalizers()) {
		t.Errorf("while it is being deleted, it is reduced to %+v", got)
	}
}

// A suspended Job has no pods, and a plan must not wait for it.
func TestWhichJobsRun(t *testing.T) {
	condition := func(kind string) edit {
		return field([]any{map[string]any{"type": kind, "status": "True"}}, "status", "conditions")
	}
	for _, c := range []struct {
		name   string
		object *unstructured.Unstructured
		want   bool
	}{
		{"one that has not finished", job("migrate"), true},
		{"one that has finished", job("migrate", condition("Complete")), false},
		{"one that is suspended", job("migrate", field(true, "spec", "suspend"), condition("Suspended")), false},
		{"what is no Job, as far as anybody knows", configMap("env"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := observed.Reduce(c.object).Runs(); got != c.want {
				t.Errorf("it runs: %t", got)
			}
		})
	}
}

// Nothing in a Job can be changed, so that what others own in it is no addition.
func TestNobodyAddsToAJob(t *testing.T) {
	edited := entry("kubectl-edit", `{"f:spec":{"f:suspend":{}}}`)
	edited.APIVersion = "batch/v1"
	if added := observed.Reduce(job("migrate", managed(edited))).Added; added != nil {
		t.Errorf("it says: %s", added)
	}
	if added := observed.Reduce(deployment("api", managed(edited))).Added; added == nil {
		t.Error("of a Deployment it says nothing")
	}
}

// Everyone may copy a mark, and only Berth applies the fields beside it.
func TestProved(t *testing.T) {
	const environment = "a1b2c3.posts-main"
	prover := manifest.NewProver([]byte("key"))
	applied := managed(entry("berth", `{"f:spec":{}}`))
	marked := func(u *unstructured.Unstructured) {
		annotated(manifest.AnnotationDigest, prover.Mark(environment, key(u), "digest"))(u)
	}
	for _, c := range []struct {
		name        string
		object      *unstructured.Unstructured
		environment string
		want        bool
	}{
		{"what Berth applied", deployment("api", applied, marked), environment, true},
		{"for another environment", deployment("api", applied, marked), "a1b2c3.posts-f0", false},
		{"what bears the mark, and was not applied by Berth", deployment("api", marked), environment, false},
		{"what Berth applied, without a proof", deployment("api", applied, annotated(manifest.AnnotationDigest, "digest")), environment, false},
		{"a Job, which is created and not applied", job("migrate", marked), environment, true},
		{"a Job without a proof", job("migrate"), environment, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := observed.Reduce(c.object).Proved(c.environment, prover); got != c.want {
				t.Errorf("proved: %t", got)
			}
		})
	}
}

// Anybody may keep an object, and only Git may allow that its data is deleted.
func TestWhoMayPrune(t *testing.T) {
	git := entry("berth", `{"f:metadata":{"f:annotations":{"f:berth.dev/prune":{}}}}`)
	person := entry("kubectl-annotate", `{"f:metadata":{"f:annotations":{"f:berth.dev/prune":{}}}}`)
	updated, status := git, git
	updated.Operation, status.Subresource = metav1.ManagedFieldsOperationUpdate, "status"
	for _, c := range []struct {
		name        string
		annotation  string
		value, want string
		by          metav1.ManagedFieldsEntry
	}{
		{name: "no annotation of pruning", annotation: "example.com/note", value: "allow"},
		{"Git allows it", "berth.dev/prune", "allow", "allow", git},
		{"Berth wrote it in a way that is not an apply", "berth.dev/prune", "allow", "allow", updated},
		{"Berth applied other fields", "berth.dev/prune", "allow", "", entry("berth", `{"f:spec":{}}`)},
		{"a user allows it", "berth.dev/prune", "allow", "", person},
		{"Berth wrote it with the status", "berth.dev/prune", "allow", "", status},
		{"a user forbids it", "berth.dev/prune", "never", "never", person},
		{"Helm keeps it", "helm.sh/resource-policy", "keep", "never", person},
		{"Helm's policy has a different value", "helm.sh/resource-policy", "delete", "", person},
		{"its deletion is another client's", "client.lifecycle.config.k8s.io/deletion", "detach", "never", person},
		{"its deletion has no special value", "client.lifecycle.config.k8s.io/deletion", "delete", "", person},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := configMap("env", annotated(c.annotation, c.value), managed(c.by))
			if got := observed.Reduce(o).Prune; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
