package health

import (
	"testing"
	"time"
)

// A pod without a controller settles by the rules for the pods of workloads.
func TestAPodByItselfHasToStayUp(t *testing.T) {
	const container = `containerStatuses: [{name: api, ready: true, restartCount: 0, state: {running: {startedAt: "2026-03-02T12:00:00Z"}}}]`
	const ready = `conditions: [{type: Ready, status: "True"}], `
	for _, test := range []struct {
		name, spec, status string
		after              time.Duration
		want               Status
		next               time.Duration
	}{
		{"it is on trial", `{containers: [{name: api}]}`, `{phase: Running, ` + ready + container + `}`, time.Second, Progressing, 10 * time.Second},
		{"its trial is over", `{containers: [{name: api}]}`, `{phase: Running, ` + ready + container + `}`, 11 * time.Second, Healthy, 0},
		{"a readiness probe is enough", `{containers: [{name: api, readinessProbe: {exec: {}}}]}`, `{phase: Running, ` + ready + container + `}`, time.Second, Healthy, 0},
		{"it has done its work", `{restartPolicy: Never, containers: [{name: api}]}`, `{phase: Succeeded}`, time.Second, Healthy, 0},
		{"its image may yet come", `{containers: [{name: api}]}`, `{phase: Pending, startTime: "2026-03-02T12:00:00Z", containerStatuses: [{name: api, state: {waiting: {reason: ImagePullBackOff}}}]}`, time.Second, Progressing, time.Minute},
		{"its image does not come", `{containers: [{name: api}]}`, `{phase: Pending, startTime: "2026-03-02T12:00:00Z", containerStatuses: [{name: api, state: {waiting: {reason: ImagePullBackOff}}}]}`, 2 * time.Minute, Failed, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := object(t, []byte("{apiVersion: v1, kind: Pod, metadata: {name: api, creationTimestamp: \"2026-03-02T12:00:00Z\"}, spec: "+test.spec+", status: "+test.status+"}"))
			v := AloneOf(pod).Judge(noon.Add(test.after), time.Minute)
			if v.Health.Status != test.want {
				t.Errorf("it is %+v, want %s", v.Health, test.want)
			}
			if test.next == 0 && !v.Next.IsZero() || test.next > 0 && !v.Next.Equal(noon.Add(test.next)) {
				t.Errorf("it changes at %s, want %s after noon", v.Next, test.next)
			}
		})
	}
}
