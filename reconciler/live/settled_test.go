package live

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// crashing returns a workload without a readiness probe whose program ends as soon as it has begun, again and again.
func crashing(kind schema.GroupVersionKind) *unstructured.Unstructured {
	obj := workload(kind, "good")
	spec := obj.Object["spec"].(map[string]any)
	template := spec["template"].(map[string]any)
	template["metadata"].(map[string]any)["labels"].(map[string]any)["kwok.berth.dev/behaviour"] = "crash-loop"
	containers := template["spec"].(map[string]any)["containers"].([]any)
	delete(containers[0].(map[string]any), "readinessProbe")
	return obj
}

// says returns a condition: an object has a health, and its message this part.
func says(key manifest.Key, status health.Status, part string) func(observed.State) bool {
	return func(seen observed.State) bool {
		h := seen.Objects[key].Health
		return h.Status == status && strings.Contains(h.Message, part)
	}
}

// Its pods are ready whenever they run, which without a probe proves nothing.
func TestAProgramThatDiesAtOnceIsNeverHealthy(t *testing.T) {
	t.Parallel()
	for _, kind := range []schema.GroupVersionKind{apps("Deployment"), apps("StatefulSet"), apps("DaemonSet"), apps("ReplicaSet")} {
		t.Run(kind.Kind, func(t *testing.T) {
			t.Parallel()
			o := observe(t)
			env := o.synced(kind)
			key := manifest.KeyOf(o.write(manifest.FieldManager, env, crashing(kind)))
			fails := says(key, health.Failed, "container c exited with code 1, restarted again and again")
			o.await(env, "the failure", func(seen observed.State) bool {
				if healthy(key)(seen) {
					t.Error("it is healthy between two crashes")
				}
				return fails(seen)
			})
			// Once it has failed it stays so, whether it runs just then or not.
			runs := o.requeuesOf(env) + 6
			o.await(env, "more crashes", func(seen observed.State) bool {
				if !fails(seen) {
					t.Errorf("between two crashes it is %+v", seen.Objects[key].Health)
				}
				return o.requeuesOf(env) > runs
			})
		})
	}
}

// After a start, a workload that crashes now and then does not count as healthy.
func TestAfterARestartOfTheAgentPodsAreLookedAtFirst(t *testing.T) {
	t.Parallel()
	o := observe(t)
	kind := apps("Deployment")
	env := o.synced(kind)
	probed := crashing(kind)
	if err := unstructured.SetNestedField(probed.Object, "1", "spec", "template", "metadata", "annotations", "kwok.berth.dev/seconds"); err != nil {
		t.Fatal(err)
	}
	key := manifest.KeyOf(o.write(manifest.FieldManager, env, probed))
	o.await(env, "the failure", says(key, health.Failed, "restarted again and again"))
	again := observe(t)
	again.spaces, again.kinds = o.spaces, o.kinds
	again.Follow(env, Following{Namespace: o.spaces[env], Kinds: o.kinds[env]})
	again.await(env, "the same failure", func(seen observed.State) bool {
		if healthy(key)(seen) {
			t.Error("it is healthy before its pods are known")
		}
		return says(key, health.Failed, "restarted again and again")(seen)
	})
}

func TestAWorkloadWithoutAProbeSettlesInTime(t *testing.T) {
	t.Parallel()
	o := observe(t)
	kind := apps("Deployment")
	env := o.synced(kind)
	obj := workload(kind, "good")
	unstructured.RemoveNestedField(obj.Object, "spec", "template", "spec", "containers")
	if err := unstructured.SetNestedSlice(obj.Object, []any{map[string]any{"name": "c", "image": "good"}}, "spec", "template", "spec", "containers"); err != nil {
		t.Fatal(err)
	}
	began := o.stopClock()
	key := manifest.KeyOf(o.write(manifest.FieldManager, env, obj))
	waits := o.await(env, "its trial", says(key, health.Progressing, "waits until its pods have run for 10s without a restart: container c has no readiness probe"))
	recheck := waits.Objects[key].Recheck
	if left := recheck.Sub(began); left <= 0 || left > 10*time.Second {
		t.Errorf("the next check is in %s", left)
	}
	seen := o.Observe(Query{Environment: env, Namespace: o.spaces[env], Kinds: o.kinds[env], Now: recheck.Add(time.Second)})
	if !healthy(key)(seen) {
		t.Errorf("after its trial it is %+v", seen.Objects[key].Health)
	}
	o.until("the watch of its pods to end", func() bool { return len(o.watched()) == 0 })
}

// stopClock stops the time at which environments are looked at. Otherwise a slow machine may miss a trial of a few seconds.
func (o *observer) stopClock() (at time.Time) {
	at = time.Now()
	o.now = func() time.Time { return at }
	return at
}

// alone returns a Pod that no workload makes, without a readiness probe.
func alone(behaviour string) *unstructured.Unstructured {
	obj := parse("{apiVersion: v1, kind: Pod, metadata: {name: alone}, spec: {containers: [{name: c, image: good}]}}")
	if behaviour != "" {
		obj.SetLabels(map[string]string{"kwok.berth.dev/behaviour": behaviour})
	}
	return obj
}

func TestAPodInGitHasToStayUp(t *testing.T) {
	t.Parallel()
	pod := schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	t.Run("it dies at once", func(t *testing.T) {
		o := observe(t)
		env := o.synced(pod)
		key := manifest.KeyOf(o.write(manifest.FieldManager, env, alone("crash-loop")))
		fails := says(key, health.Failed, "container c exited with code 1, restarted again and again")
		o.await(env, "the failure", func(seen observed.State) bool {
			if healthy(key)(seen) {
				t.Error("it is healthy between two crashes")
			}
			return fails(seen)
		})
	})
	t.Run("it stays up", func(t *testing.T) {
		o := observe(t)
		env := o.synced(pod)
		o.stopClock()
		key := manifest.KeyOf(o.write(manifest.FieldManager, env, alone("")))
		waits := o.await(env, "its trial", says(key, health.Progressing, "waits until its pods have run for 10s without a restart: container c has no readiness probe"))
		recheck := waits.Objects[key].Recheck
		seen := o.Observe(Query{Environment: env, Namespace: o.spaces[env], Kinds: o.kinds[env], Now: recheck.Add(time.Second)})
		if recheck.IsZero() || !healthy(key)(seen) {
			t.Errorf("after its trial, at %s, it is %+v", recheck, seen.Objects[key].Health)
		}
	})
}

// Reasons that only events show appear before anything times out.
func TestEventsExplainWhatStatusesDoNot(t *testing.T) {
	t.Parallel()
	o := observe(t)
	job := schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}
	env := o.synced(apps("Deployment"), apps("StatefulSet"), job)
	namespace := parse("{apiVersion: v1, kind: Namespace}")
	namespace.SetName(o.spaces[env])

	starts := workload(apps("Deployment"), "good")
	starts.SetName("starts")
	if err := unstructured.SetNestedField(starts.Object, "pending", "spec", "template", "metadata", "labels", "kwok.berth.dev/behaviour"); err != nil {
		t.Fatal(err)
	}
	starting := manifest.KeyOf(o.write(manifest.FieldManager, env, starts))
	o.await(env, "its pods", says(starting, health.Progressing, "container c is not started yet: ContainerCreating"))
	o.warnsOfPods(o.spaces[env], "FailedMount", `MountVolume.SetUp failed for volume "c" : configmap "nothere" not found`)
	o.await(env, "the missing volume", says(starting, health.Progressing, `FailedMount: MountVolume.SetUp failed for volume "c" : configmap "nothere" not found`))

	stores := workload(apps("StatefulSet"), "good")
	stores.SetName("stores")
	claims := parse(`claims: [{metadata: {name: data}, spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]`)
	stores.Object["spec"].(map[string]any)["volumeClaimTemplates"] = claims.Object["claims"]
	storing := manifest.KeyOf(o.write(manifest.FieldManager, env, stores))
	o.await(env, "the missing class", says(storing, health.Progressing, `PersistentVolumeClaim/data-stores-0: storageclass.storage.k8s.io "fast" not found`))

	o.patch(namespace, `{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}`)
	refused := manifest.KeyOf(o.write(manifest.FieldManager, env, workload(job, "good")))
	o.await(env, "the refusal", says(refused, health.Failed, `0 of 1 completed; cannot create pods: violates PodSecurity "restricted:latest"`))
}

// warnsOfPods writes an event about every pod of a namespace, as the kubelet does.
func (o *observer) warnsOfPods(namespace, reason, message string) {
	o.t.Helper()
	pods, err := o.client.Resource(podResource).Namespace(namespace).List(o.t.Context(), metav1.ListOptions{})
	if err != nil {
		o.t.Fatal(err)
	}
	for _, pod := range pods.Items {
		event := parse(`{apiVersion: v1, kind: Event, type: Warning, source: {component: kubelet}}`)
		event.SetNamespace(namespace)
		event.SetName(pod.GetName() + ".1")
		event.Object["reason"], event.Object["message"] = reason, message
		event.Object["lastTimestamp"] = time.Now().UTC().Format(time.RFC3339)
		event.Object["involvedObject"] = map[string]any{"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod.GetName(), "uid": string(pod.GetUID())}
		if _, err := o.client.Resource(eventResource).Namespace(namespace).Create(o.t.Context(), event, metav1.CreateOptions{}); err != nil {
			o.t.Fatal(err)
		}
	}
}

func TestEventsAreBounded(t *testing.T) {
	s := newSightings(New(Config{}))
	for n := range 2 * maxSightings {
		about := health.Subject{UID: types.UID(fmt.Sprint(n)), Kind: "PersistentVolumeClaim", Namespace: "posts", Name: fmt.Sprint(n)}
		s.put(sighting{about, health.Event{Reason: "FailedBinding", Message: "no"}})
	}
	if len(s.of) != maxSightings || len(s.claims) != maxSightings || len(s.order) != maxSightings {
		t.Errorf("%d events about %d objects and %d claims are kept, want %d", len(s.order), len(s.of), len(s.claims), maxSightings)
	}
	if newest := s.about(types.UID(fmt.Sprint(2*maxSightings - 1))); len(newest) != 1 {
		t.Error("the newest is forgotten")
	}
}
