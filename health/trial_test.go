package health

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// workloadWith returns a Deployment with a spec, whose status was written at noon.
func workloadWith(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, []byte(`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  generation: 2
  managedFields:
  - {manager: berth, operation: Apply, apiVersion: apps/v1, time: "2026-03-02T11:59:50Z", fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}}
  - {manager: kube-controller-manager, operation: Update, apiVersion: apps/v1, time: "2026-03-02T12:00:00Z", fieldsType: FieldsV1, fieldsV1: {"f:status": {}}, subresource: status}
spec: `+spec+`
status: {observedGeneration: 2}
`))
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestTrialOf(t *testing.T) {
	for _, test := range []struct {
		name, spec string
		want       time.Duration
		why        string
	}{
		{"a readiness probe is enough", `{template: {spec: {containers: [{name: api, readinessProbe: {httpGet: {port: 80}}}]}}}`, 0, ""},
		{"none is not", `{template: {spec: {containers: [{name: api, readinessProbe: {httpGet: {port: 80}}}, {name: log}]}}}`, settling, "container log has no readiness probe"},
		{"minReadySeconds wins", `{minReadySeconds: 1, template: {spec: {containers: [{name: api}]}}}`, 0, ""},
		{"without pods there is nothing to prove", `{replicas: 0, template: {spec: {containers: [{name: api}]}}}`, 0, ""},
		{"init containers end", `{template: {spec: {initContainers: [{name: wait}], containers: [{name: api, readinessProbe: {exec: {}}}]}}}`, 0, ""},
		{"sidecars do not", `{template: {spec: {initContainers: [{name: proxy, restartPolicy: Always}], containers: [{name: api, readinessProbe: {exec: {}}}]}}}`, settling, "container proxy has no readiness probe"},
		{"a liveness probe has its time to fail", `{template: {spec: {containers: [{name: api, livenessProbe: {httpGet: {port: 80}}}]}}}`, 40 * time.Second, "container api has no readiness probe"},
		{"but not for ever", `{template: {spec: {containers: [{name: api, livenessProbe: {httpGet: {port: 80}, initialDelaySeconds: 300}}]}}}`, longestTrial, "container api has no readiness probe"},
		{"probes of the same port agree", `{template: {spec: {containers: [{name: api, ports: [{name: http, containerPort: 80}], readinessProbe: {httpGet: {path: /ready, port: 80}}, livenessProbe: {httpGet: {path: /, port: http}}}]}}}`, 0, ""},
		{"one of two ports may be wrong", `{template: {spec: {containers: [{name: api, readinessProbe: {httpGet: {port: 80}}, livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 5}}]}}}`, 20 * time.Second, "the liveness probe of container api asks another port than its readiness probe"},
		{"a command asks no port", `{template: {spec: {containers: [{name: api, readinessProbe: {httpGet: {port: 80}}, livenessProbe: {exec: {}}}]}}}`, 0, ""},
		{"garbage asks for nothing", `{template: {spec: {containers: 7}}}`, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := TrialOf(workloadWith(t, test.spec))
			if got.For != test.want || got.Why != test.why {
				t.Errorf("got %s because %q, want %s because %q", got.For, got.Why, test.want, test.why)
			}
			if !got.Since.Equal(noon) || !got.Written.Equal(noon.Add(-10*time.Second)) {
				t.Errorf("the status was written %s and the spec %s", got.Since, got.Written)
			}
		})
	}
	job := load(t, "job-running").object
	if got := TrialOf(job); got.For != 0 {
		t.Errorf("a Job has a trial of %s", got.For)
	}
}

// up is a pod that is ready, and has been running since the given time.
func up(since time.Time) Pod { return Pod{Name: "api-1", Health: Health{Status: Healthy}, Up: since} }

// crashed is a pod that is ready again after a crash.
func crashed(t *testing.T, restarts int64, ran time.Duration, again time.Time) Pod {
	t.Helper()
	ended := again.Add(-time.Second)
	pod := load(t, "pod-ready").object
	status := map[string]any{
		"name": "app", "ready": true, "restartCount": restarts,
		"state": map[string]any{"running": map[string]any{"startedAt": again.Format(time.RFC3339)}},
		"lastState": map[string]any{"terminated": map[string]any{
			"exitCode": int64(7), "reason": "Error", "startedAt": ended.Add(-ran).Format(time.RFC3339), "finishedAt": ended.Format(time.RFC3339),
		}},
	}
	if err := unstructured.SetNestedSlice(pod.Object, []any{status}, "status", "containerStatuses"); err != nil {
		t.Fatal(err)
	}
	return OfPod(pod)
}

// A container is ready as soon as it has started, even if its program ends a moment later. Only time shows the
// difference.
func TestAWorkloadSettlesWhenItsPodsHaveStayedUp(t *testing.T) {
	const probeless = `{template: {spec: {containers: [{name: api}]}}}`
	const probed = `{template: {spec: {containers: [{name: api, readinessProbe: {httpGet: {port: 80}}}]}}}`
	waits := Health{Progressing, "waits until its pods have run for 10s without a restart: container api has no readiness probe"}
	pod := "pod api-6d4cf56db6-x7k2p: container app exited with code 7, "
	for _, test := range []struct {
		name, spec string
		pods       []Pod
		after      time.Duration // since noon
		want       Health
		next       time.Duration
	}{
		{"a probe says that it is up", probed, nil, 0, Health{Status: Healthy}, 0},
		{"without one it has to stay up", probeless, []Pod{up(noon)}, 9 * time.Second, waits, settling},
		{"and then has settled", probeless, []Pod{up(noon)}, settling, Health{Status: Healthy}, 0},
		{"the youngest pod counts", probeless, []Pod{up(noon.Add(-time.Hour)), up(noon.Add(-3 * time.Second))}, 0, waits, 7 * time.Second},
		{"where no pods are known, the status counts", probeless, nil, 9 * time.Second, waits, settling},
		{"and only for as long", probeless, nil, settling, Health{Status: Healthy}, 0},
		{"a node's clock that is ahead does not matter", probeless, []Pod{up(noon.Add(time.Hour))}, 0, waits, settling},

		{"a crash is not over when the container runs again", probed, []Pod{crashed(t, 1, 2*time.Second, noon)}, 11 * time.Second, Health{Progressing, pod + "1 restart"}, 12 * time.Second},
		{"but when it has run longer than before", probed, []Pod{crashed(t, 1, 2*time.Second, noon)}, 12 * time.Second, Health{Status: Healthy}, 0},
		{"a crash loop stays one between two crashes", probed, []Pod{crashed(t, 3, 20*time.Second, noon)}, 29 * time.Second, Health{Failed, pod + "restarted again and again"}, 30 * time.Second},
		{"one crash after days does not make a loop", probed, []Pod{crashed(t, 9, 48*time.Hour, noon)}, 9 * time.Second, Health{Progressing, pod + "9 restarts"}, settling},
		{"and is soon over", probed, []Pod{crashed(t, 9, 48*time.Hour, noon)}, settling, Health{Status: Healthy}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Rollout{Workload: Health{Status: Healthy}, Trial: TrialOf(workloadWith(t, test.spec)), Pods: test.pods}
			v := r.Judge(noon.Add(test.after), 0)
			next := time.Time{}
			if test.next != 0 {
				next = noon.Add(test.next)
				if test.pods != nil && test.pods[0].Up.After(noon) {
					next = next.Add(test.after)
				}
			}
			if v.Health != test.want || !v.Next.Equal(next) {
				t.Errorf("got  %v, next %v\nwant %v, next %v", v.Health, v.Next, test.want, next)
			}
		})
	}
}

func TestARecentStatusMayHideCrashes(t *testing.T) {
	trial := TrialOf(workloadWith(t, `{}`))
	if !trial.Recent(noon.Add(stable-1)) || trial.Recent(noon.Add(stable)) {
		t.Error("a status is recent for as long as the kubelet remembers crashes")
	}
}

// The classic sidecar: the proxy of a Job's pod does not stop when the work is done.
func TestAJobsPodNamesWhatKeepsItRunning(t *testing.T) {
	pod := load(t, "pod-job-failed").object
	if err := unstructured.SetNestedField(pod.Object, "Running", "status", "phase"); err != nil {
		t.Fatal(err)
	}
	statuses := []any{
		map[string]any{"name": "main", "state": map[string]any{"terminated": map[string]any{"exitCode": int64(0), "reason": "Completed"}}},
		map[string]any{"name": "proxy", "ready": true, "state": map[string]any{"running": map[string]any{"startedAt": noon.Format(time.RFC3339)}}},
	}
	if err := unstructured.SetNestedSlice(pod.Object, statuses, "status", "containerStatuses"); err != nil {
		t.Fatal(err)
	}
	if got := OfPod(pod).Health; got.Status != Progressing || !strings.Contains(got.Message, "container proxy still runs after main completed") {
		t.Errorf("got %v", got)
	}
}
