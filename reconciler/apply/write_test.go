package apply

import (
	"maps"
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/metadata"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

func TestCreate(t *testing.T) {
	w := newWorld(t)
	step := w.step(plan.Create, deployment, nil)
	before := step.Object.DeepCopy()
	live := w.must(Created, w.run(step)[0])

	if !reflect.DeepEqual(step.Object.Unstructured, before) {
		t.Error("the plan's object was changed")
	}
	obj := w.look(deployment)
	wantLabels := map[string]string{"team": "posts", manifest.LabelEnvironment: environment}
	if got := obj.GetLabels(); !maps.Equal(got, wantLabels) {
		t.Errorf("labels %v, want %v", got, wantLabels)
	}
	wantAnnotations := maps.Clone(w.target.Annotations)
	wantAnnotations[manifest.AnnotationDigest] = w.target.Prover.Mark(environment, step.Key, step.Object.Digest)
	if got := obj.GetAnnotations(); !maps.Equal(got, wantAnnotations) {
		t.Errorf("annotations %v, want %v", got, wantAnnotations)
	}
	if live.Environment != environment || live.Digest != step.Object.Digest || live.Ownership == "" {
		t.Errorf("the result does not show the marks: %+v", live)
	}
	if got := field(t, obj, "spec", "template", "metadata", "labels"); !reflect.DeepEqual(got, map[string]any{"app": "api"}) {
		t.Errorf("the pod template was touched: %v", got)
	}
}

// The answer to a write must equal the watch event that follows. Otherwise every write would look like drift.
func TestAnswersAreWhatWatchesBring(t *testing.T) {
	for name, text := range map[string]string{
		"Deployment": deployment,
		"ConfigMap":  configMap,
		"Secret":     secret,
		"Job":        job,
		"Service":    "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: NS}, spec: {selector: {app: api}, ports: [{port: 80}]}}",
		"CronJob":    "{apiVersion: batch/v1, kind: CronJob, metadata: {name: tidy, namespace: NS}, spec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}}",
		"Ingress":    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: api, namespace: NS}, spec: {rules: [{host: example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}]}}]}}",
		"Namespace":  "{apiVersion: v1, kind: Namespace, metadata: {name: NS-own}}",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			live := w.created(text)
			if name != "Job" && live.Ownership == "" {
				t.Error("nothing is owned after an apply")
			}
			if got := watched(t, w, text); !reflect.DeepEqual(got, live) {
				t.Errorf("created:\nwatch  %+v\nanswer %+v", got, live)
			}
			if name == "Job" {
				return
			}
			w.patch(text, `{"metadata":{"labels":{"berth.dev/environment":"mine"}}}`)
			live = w.must(Corrected, w.do(plan.Correct, text, w.seen(text)))
			if got := watched(t, w, text); !reflect.DeepEqual(got, live) {
				t.Errorf("corrected:\nwatch  %+v\nanswer %+v", got, live)
			}
			if got := watchedMetadata(t, w, text); got.Ownership != live.Ownership || got.ResourceVersion != live.ResourceVersion {
				t.Errorf("by metadata only:\nwatch  %+v\nanswer %+v", got, live)
			}
		})
	}
}

// watched returns the reduced object of a watch's first event.
func watched(t *testing.T, w *world, text string) *observed.Object {
	t.Helper()
	o := w.object(text)
	watch, err := w.resource(o).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + o.GetName()})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	live := observed.Reduce((<-watch.ResultChan()).Object.(*unstructured.Unstructured))
	return &live
}

// watchedMetadata does the same with a watch for metadata only.
func watchedMetadata(t *testing.T, w *world, text string) observed.Object {
	t.Helper()
	o := w.object(text)
	client, err := metadata.NewForConfig(w.config)
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := w.applier.mapper.find(o.GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	watch, err := client.Resource(mapping.Resource).Namespace(o.GetNamespace()).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + o.GetName()})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	return observed.ReduceMetadata((<-watch.ResultChan()).Object.(*metav1.PartialObjectMetadata), o.GroupVersionKind())
}

func TestChange(t *testing.T) {
	w := newWorld(t)
	live := w.created(deployment)
	newer := with(deployment, "api:1", "api:2")
	live = w.must(Changed, w.do(plan.Change, newer, live))
	if live.Digest != w.object(newer).Digest {
		t.Error("the digest of what was applied is not on the object")
	}
	if again := w.must(Unchanged, w.do(plan.Change, newer, live)); again.ResourceVersion != live.ResourceVersion {
		t.Error("an apply of the same content changed the object")
	}
}

func TestChangeTakesOutWhatLeftGit(t *testing.T) {
	w := newWorld(t)
	live := w.created(with(configMap, "mode: fast", "mode: fast, old: x"))
	w.must(Changed, w.do(plan.Change, configMap, live))
	if got := field(t, w.look(configMap), "data"); !reflect.DeepEqual(got, map[string]any{"mode": "fast"}) {
		t.Errorf("data is %v", got)
	}
}

func TestCorrectRestoresWhatKubectlChanged(t *testing.T) {
	w := newWorld(t)
	first := w.created(deployment)
	w.patch(deployment, `{"spec":{"replicas":5,"paused":true}}`)
	drifted := w.seen(deployment)
	if drifted.Ownership == first.Ownership {
		t.Fatal("the drift does not show")
	}
	live := w.must(Corrected, w.do(plan.Correct, deployment, drifted))
	if live.Ownership != first.Ownership {
		t.Error("not everything is ours again")
	}
	obj := w.look(deployment)
	if got := field(t, obj, "spec", "replicas"); got != int64(2) {
		t.Errorf("replicas are %v, want 2", got)
	}
	if got := field(t, obj, "spec", "paused"); got != true {
		t.Errorf("a field that is not in Git was changed to %v", got)
	}
}

func TestCorrectMakesAnewWhatWasDeleted(t *testing.T) {
	w := newWorld(t)
	w.created(configMap)
	w.delete(configMap)
	w.must(Corrected, w.do(plan.Correct, configMap, nil))
	if w.look(configMap) == nil {
		t.Error("it is not there")
	}
}

func TestChangeAdoptsWhatKubectlMade(t *testing.T) {
	w := newWorld(t)
	w.kubectl(with(configMap, "fast", "slow"))
	live := w.must(Changed, w.do(plan.Change, configMap, w.seen(configMap)))
	if live.Environment != environment || live.Ownership == "" {
		t.Errorf("it is not ours: %+v", live)
	}
	if got := field(t, w.look(configMap), "data", "mode"); got != "fast" {
		t.Errorf("mode is %v", got)
	}
}

// A plan can be older than the cluster: objects that it did not see must stay unchanged.
func TestCreateLeavesWhatIsThere(t *testing.T) {
	namespace := "{apiVersion: v1, kind: Namespace, metadata: {name: NS-own}}"
	theirs := func(text, mark string) string {
		return with(text, "metadata: {", "metadata: {labels: {berth.dev/environment: "+mark+"}, annotations: {berth.dev/environment: posts.production}, ")
	}
	for _, test := range []struct {
		name, there, text string
		class             Class
		why               string
	}{
		{"without an owner", with(configMap, "fast", "slow"), configMap, Exists,
			"is there already and was not made by Berth; remove one of the two, or rename the one in Git"},
		{"without an owner, with the same content", configMap, configMap, Exists,
			"is there already and was not made by Berth; remove one of the two, or rename the one in Git"},
		{"another environment's", theirs(configMap, "a1b2c3.zzz"), configMap, Exists,
			"is there already and belongs to the environment posts.production; remove one of the two, or rename the one in Git"},
		{"our own, not seen yet", theirs(configMap, environment), configMap, Conflict,
			"was created in the meantime; it is tried again"},
		{"a Job that has not finished", job, job, Transient,
			"is there already, was not made by Berth, and has not finished; it is tried again"},
		{"a namespace", namespace, namespace, Exists,
			"is there already and was not made by Berth; remove one of the two, or rename the one in Git"},
		{"one that is being deleted", with(configMap, "metadata: {", "metadata: {finalizers: [example.com/wait], deletionGracePeriodSeconds: 0, "), configMap, Terminating,
			"is being deleted; held by the finalizers example.com/wait; it is re-created once that is gone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			before := w.kubectl(test.there)
			if test.class == Terminating {
				w.delete(test.there)
				before = w.look(test.there)
			}
			result := w.do(plan.Create, test.text, nil)
			w.refused(test.class, "infra/app.yaml:12: "+result.Step.Key.String()+": "+test.why, result)
			// No watch reports the end of an object without the label.
			passes := test.class == Transient || test.class == Terminating
			if passes != (result.Live == nil) || !passes && result.Live.UID != before.GetUID() {
				t.Errorf("the result does not show what is there: %+v", result.Live)
			}
			if after := w.look(test.there); !reflect.DeepEqual(after, before) {
				t.Errorf("it was changed to %v", after)
			}
		})
	}
}

// A change must not hit a different object of the same name, or recreate a deleted one.
func TestChangeOnlyWhatWasSeen(t *testing.T) {
	const recreated = "was deleted or re-created by another client in the meantime; it is tried again"
	const changed = "was changed by another client in the meantime; it is tried again"
	for text, why := range map[string]string{configMap: recreated, job: changed} {
		w := anotherWorld(t)
		old := w.created(text)
		w.delete(text)
		result := w.do(plan.Correct, text, old)
		w.refused(Conflict, "infra/app.yaml:12: "+result.Step.Key.String()+": "+recreated, result)
		if w.look(text) != nil {
			t.Errorf("%s is there again", result.Step.Key)
		}

		w.kubectl(text)
		before := w.look(text)
		result = w.do(plan.Correct, text, old)
		w.refused(Conflict, "infra/app.yaml:12: "+result.Step.Key.String()+": "+why, result)
		if after := w.look(text); !reflect.DeepEqual(after, before) {
			t.Errorf("%s was changed", result.Step.Key)
		}
	}
}

func TestApplyToADyingObjectIsNoSuccess(t *testing.T) {
	w := newWorld(t)
	held := with(configMap, "metadata: {", "metadata: {finalizers: [example.com/wait], ")
	live := w.created(held)
	w.delete(held)
	result := w.do(plan.Change, with(held, "fast", "slow"), live)
	w.refused(Terminating, "infra/app.yaml:12: ConfigMap/NS/settings: is being deleted; held by the finalizers example.com/wait; it is re-created once that is gone", result)
	if result.Live == nil || !result.Live.Deleting {
		t.Errorf("the result does not show that it is dying: %+v", result.Live)
	}
}

func TestCreateJob(t *testing.T) {
	w := newWorld(t)
	live := w.created(job)
	obj := w.look(job)
	if ttl := field(t, obj, "spec", "ttlSecondsAfterFinished"); ttl != nil {
		t.Errorf("it was sent with ttlSecondsAfterFinished: %v", ttl)
	}
	if live.Digest != w.object(job).Digest || live.Environment != environment || live.Job == nil {
		t.Errorf("the result does not show the marks: %+v", live)
	}
	if got := obj.GetManagedFields()[0]; got.Manager != manifest.FieldManager || got.Operation != metav1.ManagedFieldsOperationUpdate {
		t.Errorf("it was written by %s, %s", got.Manager, got.Operation)
	}
}

func TestCorrectJobTouchesMetadataAlone(t *testing.T) {
	w := newWorld(t)
	w.created(job)
	w.patch(job, `{"metadata":{"labels":{"berth.dev/environment":null,"mine":"x"}}}`)
	changed := with(job, "name: migrate,", "name: migrate, labels: {tier: db},")
	changed = with(changed, "migrate:1", "migrate:2")
	live := w.must(Corrected, w.do(plan.Correct, changed, w.seen(job)))
	if live.Environment != environment {
		t.Error("it is not ours again")
	}
	obj := w.look(job)
	if labels := obj.GetLabels(); labels["mine"] != "x" || labels["tier"] != "db" {
		t.Errorf("labels are %v", labels)
	}
	if program := observed.Program(obj); program != observed.Program(w.object(job).Unstructured) {
		t.Error("the spec was changed")
	}

	stale := *live
	stale.ResourceVersion = "2"
	w.refused(Conflict, "infra/app.yaml:12: Job/NS/migrate: was changed by another client in the meantime; it is tried again",
		w.do(plan.Correct, job, &stale))
}
