package health

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// An event explains a pod whose status gives no reason.
func TestExplained(t *testing.T) {
	mount := Event{"FailedMount", `MountVolume.SetUp failed for volume "c" : configmap "nothere" not found`, noon}
	summary := Event{"FailedMount", "Unable to attach or mount volumes: unmounted volumes=[c], unattached volumes=[], failed to process volumes=[]: context deadline exceeded", noon.Add(time.Minute)}
	sandbox := Event{"FailedCreatePodSandBox", `Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "` + strings.Repeat("0a", 32) + `": plugin type="bridge" failed (add): no IP addresses available in range set`, noon}
	readiness := Event{"Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", noon}
	liveness := Event{"Unhealthy", `Liveness probe failed: Get "http://10.244.0.23:9999/": dial tcp 10.244.0.23:9999: connect: connection refused`, noon}
	command := Event{"Unhealthy", "Readiness probe failed: cannot log in with hunter2", noon}
	claim := Event{"ProvisioningFailed", `storageclass.storage.k8s.io "fast" not found`, noon}

	for _, test := range []struct {
		name, fixture string
		events        []Event
		want          string // the end of the message
	}{
		{"nothing is said", "pod-creating", nil, "container app is not started yet: ContainerCreating"},
		{"a missing volume", "pod-creating", []Event{mount}, `container app is not started yet: ContainerCreating: FailedMount: MountVolume.SetUp failed for volume "c" : configmap "nothere" not found`},
		{"the cause is named, not its consequence", "pod-creating", []Event{mount, summary}, `configmap "nothere" not found`},
		{"unless nothing else is known", "pod-creating", []Event{summary}, "context deadline exceeded"},
		{"ids that differ each time are left out", "pod-creating", []Event{sandbox}, `: FailedCreatePodSandBox: failed to setup network for sandbox : plugin type="bridge" failed (add): no IP addresses available in range set`},
		{"what was wrong before a container ran is over", "pod-not-ready", []Event{mount}, "container app is not ready"},
		{"a probe", "pod-not-ready", []Event{readiness}, "container app is not ready: readiness probe failed: HTTP probe failed with statuscode: 503"},
		{"a command's output may hold a secret", "pod-not-ready", []Event{command}, "container app is not ready: readiness probe failed"},
		{"a liveness probe kills", "pod-crash-loop", []Event{liveness}, `restarted again and again; its liveness probe failed: Get "http://:9999/": dial tcp :9999: connect: connection refused`},
		{"a readiness probe does not", "pod-crash-loop", []Event{readiness}, "restarted again and again"},
		{"a well pod needs no reason", "pod-ready", []Event{readiness, mount}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := OfPod(load(t, test.fixture).object).Explained(test.events, func(string) []Event { return nil })
			if !strings.HasSuffix(pod.Health.Message, test.want) || test.want == "" && pod.Health.Message != "" {
				t.Errorf("got  %s\nwant %s", pod.Health.Message, test.want)
			}
			checkMessage(t, pod.Health)
		})
	}

	t.Run("a claim that is not bound", func(t *testing.T) {
		pod := OfPod(load(t, "pod-unschedulable").object)
		pod.claims = "data,cache"
		got := pod.Explained(nil, func(name string) []Event { return map[string][]Event{"data": {claim}}[name] }).Health.Message
		if want := `; PersistentVolumeClaim/data: storageclass.storage.k8s.io "fast" not found`; !strings.HasSuffix(got, want) {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a crash that is not over", func(t *testing.T) {
		got := crashed(t, 1, time.Second, noon).Explained([]Event{liveness}, nil).Relapse.Health.Message
		if want := "connect: connection refused"; !strings.HasSuffix(got, want) {
			t.Errorf("got %s", got)
		}
	})
}

// Some controllers report refused pods only in an event.
func TestRefusedPodsAreTold(t *testing.T) {
	const policy = `pods "migrate-x7k2p" is forbidden: violates PodSecurity "restricted:latest": privileged (container "api" must not set securityContext.privileged=true)`
	const says = `; cannot create pods: violates PodSecurity "restricted:latest": privileged (container "api" must not set securityContext.privileged=true)`
	const quota = `pods "db-1" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1`
	for _, test := range []struct {
		name, message string
		pods          []Pod
		trial         Trial
		want          Status
		says          string
	}{
		{"a policy stands", "Error creating: " + policy, nil, Trial{}, Failed, says},
		{"a StatefulSet's words", "create Pod db-0 in StatefulSet db failed error: " + policy, nil, Trial{}, Failed, says},
		{"a quota may be freed", "create Pod db-1 in StatefulSet db failed error: " + quota, nil, Trial{}, Progressing, "; cannot create pods: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1"},
		{"what came before the newest pod has passed", "Error creating: " + policy, []Pod{{Name: "a", Since: noon.Add(time.Second)}}, Trial{}, Progressing, "0 of 1 ready"},
		{"and what came before the newest change", "Error creating: " + policy, nil, Trial{Written: noon.Add(time.Second)}, Progressing, "0 of 1 ready"},
		{"one in the same second may be older", "Error creating: " + policy, nil, Trial{Written: noon}, Progressing, says},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Rollout{Workload: Health{Progressing, "0 of 1 ready"}, Trial: test.trial, Pods: test.pods, Events: []Event{{"FailedCreate", test.message, noon}}}
			if got := r.Judge(noon, 0).Health; got.Status != test.want || !strings.HasSuffix(got.Message, test.says) {
				t.Errorf("got  %v\nwant %s …%s", got, test.want, test.says)
			}
		})
	}
	said := Health{Failed, "0 of 1 updated; cannot create pods: " + policy}
	if got := (Rollout{Workload: said, Events: []Event{{"FailedCreate", "Error creating: " + policy, noon}}}).Judge(noon, 0).Health; got != said {
		t.Errorf("a Deployment says it twice: %v", got)
	}
}

func TestEventOf(t *testing.T) {
	const event = `
apiVersion: v1
kind: Event
involvedObject: {kind: Pod, namespace: posts, name: api-1, uid: 7c1e}
reason: %s
message: "(combined from similar events): two\nlines"
eventTime: "2026-03-02T11:00:00.000000Z"
series: {count: 3, lastObservedTime: "2026-03-02T12:00:00.000000Z"}
`
	about, e, ok := EventOf(object(t, fmt.Appendf(nil, event, "FailedMount")))
	if !ok || about != (Subject{"7c1e", "Pod", "posts", "api-1"}) || e != (Event{"FailedMount", "two lines", noon}) {
		t.Errorf("got %+v %+v %t", about, e, ok)
	}
	if _, _, ok := EventOf(object(t, fmt.Appendf(nil, event, "Pulled"))); ok {
		t.Error("an event that explains nothing is kept")
	}
}
