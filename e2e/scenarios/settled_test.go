package scenarios

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/e2e/world"
)

// dies is the behaviour of a program that ends as soon as it has started, with further annotations.
func dies(annotations string) string {
	return "labels: {kwok.berth.dev/behaviour: crash-loop}, annotations: {" + annotations + "}"
}

// A container without a readiness probe is ready as soon as it has started. A commit whose program then crashes was
// never healthy: it is rolled back like any other failure.
func TestAProgramThatDiesAtOnceIsRolledBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, annotations, says string }{
		{"exits", `kwok.berth.dev/exit-code: "7"`, "container worker exited with code 7, restarted again and again"},
		{"worker-exits", `kwok.berth.dev/exit-code: "0"`, "container worker exited with code 0 but is meant to keep running"},
		{"out-of-memory", `kwok.berth.dev/exit-code: "137", kwok.berth.dev/reason: OOMKilled`, "container worker was killed because it used more memory than its limit (OOMKilled)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			posts := begins(t, test.name, rollsBack)
			production := posts.Environment("main")
			healthy := posts.pushes("main", map[string]string{"app/main.go": "package main\n", "k8s/worker.yaml": deployment("worker", "")})
			production.Becomes("Healthy", healthy)
			bad := posts.pushes("main", map[string]string{"k8s/worker.yaml": probeless(deployment("worker", dies(test.annotations)))})
			after := production.Becomes("RolledBack", bad, "Deployment/worker", test.says)
			if got := after.Status.HealthyCommit; got != healthy {
				t.Errorf("healthy is %.8s, want %.8s", got, healthy)
			}
			told := outcomes(production)
			if want := []string{healthy[:8] + " RolledBack", bad[:8] + " Failed", healthy[:8] + " Healthy"}; !slices.Equal(told, want) {
				t.Errorf("the history is %q, want %q", told, want)
			}
		})
	}
}

// A workload that passes the gate and crashes later becomes Degraded once, and not at each crash.
func TestWhatCrashesNowAndThenIsDegradedOnce(t *testing.T) {
	t.Parallel()
	posts := begins(t, "relapses")
	production := posts.Environment("main")
	crashing := strings.NewReplacer("{app: db}}\n    spec", `{app: db, kwok.berth.dev/behaviour: crash-loop}, annotations: {kwok.berth.dev/seconds: "6"}}`+"\n    spec",
		", readinessProbe: {tcpSocket: {port: 5432}}", "", "  replicas: 2", "  minReadySeconds: 1\n  replicas: 1").Replace(stateful("", "db"))
	commit := posts.pushes("main", map[string]string{"app/main.go": "package main\n", "k8s/db.yaml": crashing})
	production.Becomes("Healthy", commit)
	production.Becomes("Degraded", commit, "StatefulSet/db", "container db exited with code 1, restarted again and again")
	before := production.Object("Pod/db-0").Restarts()
	world.Await(t, "the container crashes twice more", func() (string, bool) {
		saw, is := production.Is("Degraded", commit)
		if !is {
			t.Errorf("between two crashes: %s", saw)
		}
		return saw, production.Object("Pod/db-0").Restarts() >= before+2
	})
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/db.yaml": stateful("", "db")}))
	for reason, want := range map[string]int{"Degraded": 1, "Healthy": 2} {
		if got := production.AwaitEvents(reason, want); got != want {
			t.Errorf("%d events say %s, want %d", got, reason, want)
		}
	}
}

// A sync without a readiness probe takes as long as its pods have to stay up, and no longer.
func TestWithoutAProbePodsHaveToStayUp(t *testing.T) {
	t.Parallel()
	posts := begins(t, "probeless")
	production := posts.Environment("main")
	commit := posts.pushes("main", map[string]string{"app/main.go": "package main\n", "k8s/worker.yaml": probeless(deployment("worker", ""))})
	production.Becomes("Syncing", commit, "Deployment/worker: waits until its pods have run for 10s without a restart: container worker has no readiness probe")
	production.Becomes("Healthy", commit)
}
