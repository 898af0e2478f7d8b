package apply

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

func TestDelete(t *testing.T) {
	const cronJob = "{apiVersion: batch/v1, kind: CronJob, metadata: {name: tidy, namespace: NS}, spec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}}"
	for _, test := range []struct {
		name, text string
		finalizers []string // that hold it afterwards; without any it is gone
	}{
		{"in the background", configMap, nil},
		{"a Secret", secret, nil},
		{"a workload, after its pods", deployment, []string{"foregroundDeletion"}},
		{"a Job, after its pods", job, []string{"foregroundDeletion"}},
		{"a CronJob, after its pods", cronJob, []string{"foregroundDeletion"}},
		{"what a finalizer holds", with(configMap, "metadata: {", "metadata: {finalizers: [example.com/wait], "), []string{"example.com/wait"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			created := w.created(test.text)
			live := w.must(Deleted, w.run(gone(created))[0])
			if test.finalizers == nil {
				if live != nil || w.look(test.text) != nil {
					t.Errorf("it is still there: %+v", live)
				}
				return
			}
			if live == nil || live.UID != created.UID || !live.Deleting || !slices.Equal(live.Finalizers, test.finalizers) {
				t.Errorf("got %+v, want what is held by %q", live, test.finalizers)
			}
		})
	}
}

func TestDeleteNamespace(t *testing.T) {
	w := newWorld(t)
	live := w.must(Deleted, w.run(gone(w.created("{apiVersion: v1, kind: Namespace, metadata: {name: NS-own}}")))[0])
	if live == nil || !live.Deleting {
		t.Errorf("the namespace is not terminating: %+v", live)
	}
}

// If the end of a deletion could not be read, it has only begun, because a finalizer may hold the object.
func TestDeleteAndNotSee(t *testing.T) {
	w := newWorld(t, transport(func(r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/configmaps/settings") {
			r.URL.Host = "127.0.0.1:1" // no process listens there
		}
	}))
	created := w.created(with(configMap, "metadata: {", "metadata: {finalizers: [example.com/wait], "))
	live := w.must(Deleted, w.run(gone(created))[0])
	if live == nil || live.UID != created.UID || !live.Deleting {
		t.Errorf("got %+v, want that the deletion has begun", live)
	}
}

func TestDeleteWhatIsGone(t *testing.T) {
	w := newWorld(t)
	live := w.created(configMap)
	w.delete(configMap)
	if left := w.must(Deleted, w.run(gone(live))[0]); left != nil {
		t.Errorf("something is left: %+v", left)
	}
	w.must(Deleted, w.run(plan.Step{Action: plan.Delete, Key: live.Key})[0])
}

// An object that has changed since the plan, or another object of the same name, is not deleted.
func TestDeleteOnlyWhatWasSeen(t *testing.T) {
	for name, meanwhile := range map[string]func(*world){
		"changed":    func(w *world) { w.patch(configMap, `{"metadata":{"annotations":{"berth.dev/prune":"never"}}}`) },
		"re-created": func(w *world) { w.delete(configMap); w.kubectl(configMap) },
		"other data": func(w *world) { w.patch(configMap, `{"data":{"mode":"slow"}}`) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			live := w.created(configMap)
			meanwhile(w)
			w.refused(Conflict, "ConfigMap/NS/settings: was changed by another client in the meantime; it is tried again", w.run(gone(live))[0])
			if w.look(configMap) == nil {
				t.Error("it was deleted")
			}
		})
	}
}

func TestReplace(t *testing.T) {
	w := newWorld(t)
	old := w.created(job)
	newer := with(job, "migrate:1", "migrate:2")
	live := w.must(Replaced, w.do(plan.Replace, newer, old))
	if live == nil || live.UID != old.UID || !slices.Equal(live.Finalizers, []string{"foregroundDeletion"}) {
		t.Fatalf("got %+v, want the old Job, deleted in the foreground", live)
	}

	// Its pods are gone, so this does what the garbage collector does then.
	w.patch(job, `{"metadata":{"finalizers":null}}`)
	if live := w.created(newer); live.UID == old.UID || live.Digest != w.object(newer).Digest {
		t.Errorf("the successor is %+v", live)
	}
}

// A Job that only spells out defaults does not run again: a dry run compares the specs.
func TestAJobThatOnlySpellsOutDefaults(t *testing.T) {
	w := newWorld(t)
	spelled := with(job, "template: {", "completions: 1\n  parallelism: 1\n  backoffLimit: 6\n  template: {")
	twice := with(job, "template: {", "completions: 2\n  template: {")
	old := w.created(job)
	replaces := func(text string, live *observed.Object) Result {
		s := w.step(plan.Replace, text, live)
		s.Ran = old.Job.Spec
		return w.run(s)[0]
	}
	marked := w.must(Same, replaces(spelled, old))
	if marked.UID != old.UID || marked.Digest != w.object(spelled).Digest || marked.Deleting {
		t.Errorf("the Job became %+v", marked)
	}
	w.must(Replaced, replaces(twice, marked))

	w.patch(job, `{"metadata":{"finalizers":null}}`)
	s := w.step(plan.Create, spelled, nil)
	s.Ran = old.Job.Spec
	if live := w.must(Same, w.run(s)[0]); live != nil || w.look(job) != nil {
		t.Errorf("a Job that has run and is gone became %+v", live)
	}
}

func TestReplaceOfWhatIsGone(t *testing.T) {
	w := newWorld(t)
	old := w.created(job)
	w.delete(job)
	if live := w.must(Replaced, w.do(plan.Replace, job, old)); live != nil {
		t.Errorf("something is left: %+v", live)
	}
	if w.look(job) != nil {
		t.Error("the dry run created it")
	}
}

// An object is not deleted if its successor cannot be created.
func TestReplaceByTheInvalid(t *testing.T) {
	for _, test := range []struct {
		name, successor, why string
		class                Class
	}{
		{"value", with(job, "Never", "Always"),
			`spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"; correct it in Git`, Invalid},
		{"unknown field", with(job, "restartPolicy", "restart: x, restartPolicy"),
			`unknown field "spec.template.spec.restart"; correct it in Git`, Invalid},
		{"wrong type", with(job, "template: {", "parallelism: many\n  template: {"),
			`cannot unmarshal string into Go struct field JobSpec.spec.parallelism of type int32; correct it in Git`, Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			old := w.created(job)
			w.refused(test.class, "infra/app.yaml:12: Job/NS/migrate: "+test.why, w.do(plan.Replace, test.successor, old))
			if obj := w.look(job); obj == nil || obj.GetDeletionTimestamp() != nil {
				t.Error("the old one was deleted")
			}
		})
	}
}

func TestReplaceOnlyWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	old := w.created(job)
	w.patch(job, `{"metadata":{"labels":{"mine":"x"}}}`)
	w.refused(Conflict, "infra/app.yaml:12: Job/NS/migrate: was changed by another client in the meantime; it is tried again",
		w.do(plan.Replace, with(job, "migrate:1", "migrate:2"), old))
	if w.look(job).GetDeletionTimestamp() != nil {
		t.Error("it was deleted")
	}
}

// An object that uses up a quota can still be replaced.
func TestReplaceUnderAFullQuota(t *testing.T) {
	w := newWorld(t)
	old := w.created(job)
	w.quota("count/jobs.batch", `,"used":{"count/jobs.batch":"1"}`)
	newer := with(job, "migrate:1", "migrate:2")
	w.until(func() bool {
		return isQuota(w.rehearse(with(newer, "name: migrate, namespace", "name: other, namespace")))
	})
	w.must(Replaced, w.do(plan.Replace, newer, old))
}

// quota creates a ResourceQuota of one. It also does the work of its controller, which may not have counted yet.
func (w *world) quota(resource, used string) {
	w.t.Helper()
	text := with("{apiVersion: v1, kind: ResourceQuota, metadata: {name: small, namespace: NS}, spec: {hard: {WHAT: 1}}}", "WHAT", resource)
	w.kubectl(text)
	w.patch(text, `{"status":{"hard":{"`+resource+`":"1"}`+used+`}}`, "status")
}

// rehearse returns the error of creating an object, by a dry run.
func (w *world) rehearse(text string) error {
	w.t.Helper()
	o := w.object(text)
	_, err := w.resource(o).Create(w.t.Context(), o.Unstructured, createOptions(metav1.DryRunAll))
	return err
}
