package health

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOfPod(t *testing.T) {
	started := time.Date(2026, 3, 2, 9, 10, 2, 0, time.UTC)
	const name = "api-6d4cf56db6-x7k2p"
	for _, test := range []struct {
		fixture string
		want    Pod // without its health, which TestOf checks
	}{
		{"pod-ready", Pod{Name: name, Since: started}},
		{"pod-not-ready", Pod{Name: name, Since: started}},
		{"pod-image-not-found", Pod{Name: name, Since: started, Reason: "ImagePullBackOff", Container: "app"}},
		{"pod-image-back-off", Pod{Name: name, Since: started, Reason: "ImagePullBackOff", Container: "app"}},
		{"pod-image-name-invalid", Pod{Name: name, Since: started, Reason: "InvalidImageName", Container: "app"}},
		{"pod-config-missing", Pod{Name: name, Since: started, Reason: "CreateContainerConfigError", Container: "app"}},
		{"pod-crash-loop", Pod{Name: name, Since: started, Reason: "CrashLoopBackOff", Container: "app", Restarts: 3, ExitCode: 1}},
		{"pod-out-of-memory", Pod{Name: name, Since: started, Reason: "OOMKilled", Container: "app", Restarts: 3, ExitCode: 137}},
		{"pod-init-crash-loop", Pod{Name: name, Since: started.Add(-time.Second), Reason: "CrashLoopBackOff", Container: "wait-for-db", Restarts: 4, ExitCode: 1}},
		{"pod-unschedulable", Pod{Name: name, Since: started.Add(-2 * time.Second), Reason: "Unschedulable"}},
		{"pod-succeeded", Pod{Name: name, Since: started.Add(43 * time.Second), Ended: true}},
		{"pod-job-failed", Pod{Name: "migrate-9hx2w", Since: started.Add(43 * time.Second), Reason: "Error", Container: "app", ExitCode: 3, Ended: true}},
		{"pod-evicted", Pod{Name: name, Since: started.Add(-time.Second), Reason: "Evicted", Ended: true}},
		{"pod-terminating", Pod{Name: name}},
	} {
		t.Run(test.fixture, func(t *testing.T) {
			f := load(t, test.fixture)
			got := OfPod(f.object)
			test.want.Health = Of(f.object)
			got.Up, got.lacks = time.Time{}, "" // TestTrial and TestExplained check these
			if got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestTheSamePodIsEqual(t *testing.T) {
	for _, f := range fixtures(t) {
		if f.object.GetKind() == "Pod" && OfPod(f.object) != OfPod(f.object.DeepCopy()) {
			t.Errorf("%s reduces to two different pods", f.name)
		}
	}
}

func TestRollout(t *testing.T) {
	const grace = 10 * time.Minute
	created := time.Date(2026, 3, 2, 9, 10, 0, 0, time.UTC)
	started := created.Add(2 * time.Second)
	slow := Health{Progressing, "0 of 1 ready"}
	gaveUp := Health{Failed, "BackoffLimitExceeded: Job has reached the specified backoff limit"}
	const name = "pod api-6d4cf56db6-x7k2p: "

	for _, test := range []struct {
		name     string
		workload Health
		pods     []string
		now      time.Time
		want     Health // the end of the message
		next     time.Time
	}{
		{"settled: what is starting does not matter", Health{Status: Healthy}, []string{"pod-creating"}, started, Health{Status: Healthy}, time.Time{}},
		{"settled: a pod crashes before the status says so", Health{Status: Healthy}, []string{"pod-crash-loop"}, started,
			Health{Failed, name + "container app exited with code 1, restarted again and again"}, time.Time{}},
		{"suspended stays so", Health{Suspended, "paused"}, []string{"pod-crash-loop"}, started, Health{Suspended, "paused"}, time.Time{}},
		{"terminating stays so", Health{Terminating, "is being deleted"}, []string{"pod-crash-loop"}, started, Health{Terminating, "is being deleted"}, time.Time{}},
		{"no pods yet", slow, nil, started, slow, time.Time{}},
		{"pods are well", slow, []string{"pod-ready", "pod-terminating"}, started, slow, time.Time{}},
		{"merely starting", slow, []string{"pod-creating"}, started,
			Health{Progressing, "0 of 1 ready; " + name + "container app is not started yet: ContainerCreating"}, time.Time{}},

		{"an image gets time", slow, []string{"pod-image-back-off"}, started,
			Health{Progressing, ":4f1c2d: not found (fails after 10m)"}, started.Add(grace)},
		{"image: last moment", slow, []string{"pod-image-back-off"}, started.Add(grace - 1),
			Health{Progressing, "not found (fails after 10m)"}, started.Add(grace)},
		{"image: too late", slow, []string{"pod-image-back-off"}, started.Add(grace),
			Health{Failed, ":4f1c2d: not found"}, time.Time{}},
		{"an image with an invalid name gets no time", slow, []string{"pod-image-name-invalid"}, started,
			Health{Failed, "invalid reference format"}, time.Time{}},

		{"config: the kubelet may not know it yet", slow, []string{"pod-config-missing"}, started,
			Health{Progressing, `configmap "settings" not found (fails after 30s)`}, started.Add(configuring)},
		{"config: missing", slow, []string{"pod-config-missing"}, started.Add(configuring),
			Health{Failed, `0 of 1 ready; ` + name + `container app: CreateContainerConfigError: configmap "settings" not found`}, time.Time{}},
		{"no node: one may be on its way", slow, []string{"pod-unschedulable"}, created,
			Health{Progressing, "incoming pod. (fails after 2m)"}, created.Add(scheduling)},
		{"no node", slow, []string{"pod-unschedulable"}, created.Add(scheduling), Health{Failed, "incoming pod."}, time.Time{}},
		{"a scheduling gate is a deliberate decision", slow, []string{"pod-scheduling-gated"}, created.Add(time.Hour),
			Health{Progressing, "non-empty scheduling gates"}, time.Time{}},

		{"first crash", slow, []string{"pod-first-crash"}, started,
			Health{Progressing, "container app exited with code 1, 1 restart"}, time.Time{}},
		{"crash loop", slow, []string{"pod-crash-loop"}, started,
			Health{Failed, "0 of 1 ready; " + name + "container app exited with code 1, restarted again and again"}, time.Time{}},
		{"crash loop between two crashes", slow, []string{"pod-crash-loop-between"}, started,
			Health{Failed, "container app exited with code 1, restarted again and again"}, time.Time{}},
		{"init container", slow, []string{"pod-init-crash-loop"}, started,
			Health{Failed, "init container wait-for-db exited with code 1, restarted again and again"}, time.Time{}},
		{"a replaced pod decides nothing", slow, []string{"pod-evicted"}, started,
			Health{Progressing, "Evicted: The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi."}, time.Time{}},
		{"a Job tries again", Health{Progressing, "0 of 1 completed, 1 pod failed"}, []string{"pod-job-failed"}, started,
			Health{Progressing, "1 pod failed; pod migrate-9hx2w: container app exited with code 3"}, time.Time{}},
		{"a Job tries again in place", slow, []string{"pod-job-retries-in-place"}, started,
			Health{Progressing, "exited with code 1, restarted again and again"}, time.Time{}},
		{"a Job that gave up names its pod", gaveUp, []string{"pod-job-failed"}, started,
			Health{Failed, "backoff limit; pod migrate-9hx2w: container app exited with code 3"}, time.Time{}},

		{"the broken pod is named before those with hope", slow, []string{"pod-image-back-off", "pod-creating", "pod-crash-loop", "pod-evicted", "pod-ready"},
			started, Health{Failed, "exited with code 1, restarted again and again"}, time.Time{}},
		{"the next deadline is the nearest", slow, []string{"pod-image-back-off", "pod-config-missing"}, started,
			Health{Progressing, ""}, started.Add(configuring)},
		{"a pod that cannot be read", slow, []string{"pod-phase-strange"}, started,
			Health{Progressing, name + "unknown phase Melting"}, time.Time{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var pods []Pod
			for i, fixture := range test.pods {
				pod := OfPod(load(t, fixture).object)
				pod.Name += strings.Repeat("-other", i)
				pods = append(pods, pod)
			}
			v := Rollout{Workload: test.workload, Pods: pods}.Judge(test.now, grace)
			got, next := v.Health, v.Next
			if got.Status != test.want.Status || !strings.HasSuffix(got.Message, test.want.Message) || !next.Equal(test.next) {
				t.Errorf("got  %v, next %v\nwant %v, next %v", got, next, test.want, test.next)
			}
			slices.Reverse(pods)
			if again := (Rollout{Workload: test.workload, Pods: pods}).Judge(test.now, grace).Health; again != got {
				t.Errorf("depends on the order of the pods:\n%v\n%v", got, again)
			}
		})
	}
}

func TestNoGraceFailsAtOnce(t *testing.T) {
	pod := OfPod(load(t, "pod-image-back-off").object)
	v := Rollout{Workload: Health{Progressing, "0 of 1 ready"}, Pods: []Pod{pod}}.Judge(pod.Since, 0)
	if v.Health.Status != Failed || !v.Next.IsZero() || v.Blamed.Name != pod.Name || v.Blamed.Container != pod.Container {
		t.Errorf("got %+v", v)
	}
}

// A container's termination message may hold the end of its log, which may hold a secret.
func TestTerminationMessagesAreNotRepeated(t *testing.T) {
	h := OfPod(load(t, "pod-job-failed").object).Health
	if strings.Contains(h.Message, "hunter2") {
		t.Errorf("message %q", h.Message)
	}
}

// While the kubelet alternates between pulling and backing off, nothing flaps.
func TestImageTroubleDoesNotFlap(t *testing.T) {
	pull, back := OfPod(load(t, "pod-image-not-found").object), OfPod(load(t, "pod-image-back-off").object)
	if pull != back {
		t.Errorf("ErrImagePull gives %+v\nImagePullBackOff %+v", pull, back)
	}
}

func TestLasting(t *testing.T) {
	for _, test := range []struct {
		message string
		want    bool
	}{
		{`pods "a-b" is forbidden: exceeded quota: berth, requested: pods=1, used: pods=10, limited: pods=10`, true},
		{`pods "a-b" is forbidden: failed quota: berth: must specify limits.cpu for: app`, true},
		{`pods "a-b" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true`, true},
		{`pods "a-b" is forbidden: minimum memory usage per Pod is 64Mi, but request is 1Mi`, true},
		{`pods "a-b" is forbidden: no PriorityClass with name high was found`, true},
		{`pods "a-b" is forbidden: pod rejected: RuntimeClass "gvisor" not found`, true},
		{`pods "a-b" is forbidden: ValidatingAdmissionPolicy 'tags' with binding 'tags' denied request: no :latest`, true},
		{`Pod "a-b" is invalid: spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`, true},
		{`pods "a-b" is forbidden: error looking up service account x/default: serviceaccount "default" not found`, false},
		{`Internal error occurred: failed calling webhook "x": connection refused`, false},
		{`admission webhook "verify" denied the request: image is not signed`, false},
		{`pods "a-b" is forbidden: unable to create new content in namespace x because it is being terminated`, false},
		{``, false},
	} {
		if got := lasting(test.message); got != test.want {
			t.Errorf("lasting(%q) = %t", test.message, got)
		}
	}
}

func TestSpoken(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 2 * time.Minute: "2m", 90 * time.Second: "1m30s", time.Hour: "1h", 70 * time.Minute: "1h10m", 0: "0s",
	} {
		if got := spoken(d); got != want {
			t.Errorf("spoken(%d) = %s, want %s", d, got, want)
		}
	}
}
