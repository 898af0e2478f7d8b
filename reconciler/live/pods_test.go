package live

import (
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// workload returns a workload of a kind whose container runs an image.
func workload(kind schema.GroupVersionKind, image string) *unstructured.Unstructured {
	spec := map[string]string{
		"Deployment":  "selector: {matchLabels: {a: b}}, replicas: 2, strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: IMAGE, readinessProbe: {tcpSocket: {port: 80}}}]}}",
		"StatefulSet": "selector: {matchLabels: {a: b}}, replicas: 2, serviceName: x, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: IMAGE, readinessProbe: {tcpSocket: {port: 80}}}]}}",
		"DaemonSet":   "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: IMAGE, readinessProbe: {tcpSocket: {port: 80}}}]}}",
		"ReplicaSet":  "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: IMAGE, readinessProbe: {tcpSocket: {port: 80}}}]}}",
		"Job":         "template: {spec: {restartPolicy: Never, containers: [{name: c, image: IMAGE}]}}",
	}[kind.Kind]
	obj := parse("spec: {" + strings.ReplaceAll(spec, "IMAGE", image) + "}")
	obj.SetGroupVersionKind(kind)
	obj.SetName("it")
	return obj
}

func apps(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind}
}

// blamesPod says that an object has failed, in the words of one of its pods.
func blamesPod(key manifest.Key) func(observed.State) bool {
	return func(seen observed.State) bool {
		h := seen.Objects[key].Health
		return h.Status == health.Failed && strings.Contains(h.Message, "pod it-") && strings.Contains(h.Message, "cannot be pulled")
	}
}

func healthy(key manifest.Key) func(observed.State) bool {
	return func(seen observed.State) bool { return seen.Objects[key].Health.Status == health.Healthy }
}

func TestARolloutFailsWithItsNewestPods(t *testing.T) {
	t.Parallel()
	for _, kind := range []schema.GroupVersionKind{apps("Deployment"), apps("StatefulSet"), apps("DaemonSet")} {
		t.Run(kind.Kind, func(t *testing.T) {
			t.Parallel()
			o := observe(t)
			env := o.synced(kind)
			obj := o.write(manifest.FieldManager, env, workload(kind, "good"))
			key := manifest.KeyOf(obj)
			o.await(env, "the first rollout", healthy(key))
			o.write(manifest.FieldManager, env, workload(kind, "does-not-exist"))
			o.await(env, "the failure", blamesPod(key))

			// Mended, the pods that are still broken do not speak for it any more. (Of a StatefulSet they
			// stay broken until a person deletes them.)
			o.Wrote(observed.Reduce(o.write(manifest.FieldManager, env, workload(kind, "good"))))
			o.await(env, "the mended rollout", func(seen observed.State) bool {
				if h := seen.Objects[key].Health; h.Status == health.Failed {
					t.Errorf("while it recovers: %+v", h)
				}
				return healthy(key)(seen) || kind.Kind == "StatefulSet" && o.controllerSaw(obj)
			})
		})
	}
}

// controllerSaw says that a workload's controller has seen its newest state, and the watch has brought that.
func (o *observer) controllerSaw(obj *unstructured.Unstructured) bool {
	newest, err := o.resource(obj).Get(o.t.Context(), obj.GetName(), metav1.GetOptions{})
	if err != nil {
		o.t.Fatal(err)
	}
	o.Watches.mu.Lock()
	defer o.Watches.mu.Unlock()
	found := o.find(manifest.KeyOf(obj))
	return found.workload != nil && found.workload.trial.Generation == newest.GetGeneration()
}

// watched returns the namespaces whose pods are watched.
func (o *observer) watched() []string {
	o.Watches.mu.Lock()
	defer o.Watches.mu.Unlock()
	return slices.Sorted(maps.Keys(o.scopes))
}

func TestPodsAreWatchedOnlyWhileSomethingMoves(t *testing.T) {
	t.Parallel()
	o := observe(t)
	kind := apps("Deployment")
	still, env := o.synced(kind), o.synced(kind)
	o.await(still, "a rollout elsewhere", healthy(manifest.KeyOf(o.write(manifest.FieldManager, still, workload(kind, "good")))))
	o.until("the watch of its pods to end, if it took long enough for one", func() bool { return len(o.watched()) == 0 })
	key := manifest.KeyOf(o.write(manifest.FieldManager, env, workload(kind, "does-not-exist")))
	o.await(env, "the failure", blamesPod(key))
	if watched := o.watched(); !slices.Equal(watched, []string{o.spaces[env]}) {
		t.Errorf("the pods of %v are watched, want those of %s", watched, o.spaces[env])
	}
	o.write(manifest.FieldManager, env, workload(kind, "good"))
	o.await(env, "the recovery", healthy(key))
	o.until("the watch of the pods to end", func() bool { return len(o.watched()) == 0 })
}

func TestPodsWithoutRevisionsSpeakForTheirOwner(t *testing.T) {
	t.Parallel()
	for _, kind := range []schema.GroupVersionKind{apps("ReplicaSet"), {Group: "batch", Version: "v1", Kind: "Job"}} {
		t.Run(kind.Kind, func(t *testing.T) {
			t.Parallel()
			o := observe(t)
			env := o.synced(kind)
			obj := o.write(manifest.FieldManager, env, workload(kind, "does-not-exist"))
			o.await(env, "the failure", blamesPod(manifest.KeyOf(obj)))
		})
	}
}

func TestManyRolloutsShareOneWatch(t *testing.T) {
	t.Parallel()
	o := observe(t)
	kind := apps("Deployment")
	var environments []string
	for range manyNamespaces + 1 {
		environments = append(environments, o.synced(kind))
	}
	keys := map[string]manifest.Key{}
	for _, env := range environments {
		keys[env] = manifest.KeyOf(o.write(manifest.FieldManager, env, workload(kind, "does-not-exist")))
	}
	for _, env := range environments {
		o.await(env, "the failure", blamesPod(keys[env]))
	}
	o.until("one watch for all", func() bool { return slices.Equal(o.watched(), []string{""}) })
	for _, env := range environments {
		o.await(env, "the failure in the words of the one watch", blamesPod(keys[env]))
	}
	few := environments[:3]
	for _, env := range environments[3:] {
		o.Forget(env)
		o.delete(workloadIn(o.spaces[env], kind))
	}
	o.until("a watch for each again", func() bool { return len(o.watched()) == len(few) })
	for _, env := range few {
		o.await(env, "the failure in the words of its own watch", blamesPod(keys[env]))
	}
}

func workloadIn(namespace string, kind schema.GroupVersionKind) *unstructured.Unstructured {
	obj := workload(kind, "good")
	obj.SetNamespace(namespace)
	return obj
}
