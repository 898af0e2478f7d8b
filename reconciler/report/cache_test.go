package report_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/report"
)

// Passes follow each other faster than the cache brings what the last one wrote.
func TestALateCache(t *testing.T) {
	api := connect(t)
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{
		Repository: "posts", Entry: "review", Branch: "login", Namespace: "posts-login", OnRemoval: v1alpha1.RemovalDelete, Commit: commit,
	}}
	env.Namespace, env.Name = "default", "posts.review.login"
	if err := api.Create(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	recorder := events.NewFakeRecorder(10)
	reporter := report.New(report.Config{Client: api, Recorder: recorder, Metrics: report.NewMetrics(prometheus.NewRegistry()), Now: time.Now})
	says := func(state plan.State, want string, wantEvents int) {
		t.Helper()
		// The cache never learns of anything.
		if _, err := reporter.Environment(t.Context(), env.DeepCopy(), reconciler.Outcome{State: state, Commit: commit}); err != nil {
			t.Fatal(err)
		}
		stored := &v1alpha1.Environment{}
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(env), stored); err != nil {
			t.Fatal(err)
		}
		if ready := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != want {
			t.Errorf("after %s it is %v, want %s", state, ready, want)
		}
		if got := len(recorder.Events); got != wantEvents {
			t.Errorf("after %s there are %d events, want %d", state, got, wantEvents)
		}
		for len(recorder.Events) > 0 {
			<-recorder.Events
		}
	}
	says(plan.Going, v1alpha1.ReasonSyncing, 1)
	says(plan.Going, v1alpha1.ReasonSyncing, 0)
	says(plan.Settled, v1alpha1.ReasonHealthy, 1)
	says(plan.Degraded, v1alpha1.ReasonDegraded, 1)
	says(plan.Settled, v1alpha1.ReasonHealthy, 1)
}

const commit = "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b"

// connect returns a client of an API server that knows Berth's kinds.
func connect(t *testing.T) client.Client {
	t.Helper()
	cluster := clustertest.Start(t, clustertest.Config{APIServerOnly: true})
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		if err := clustertest.Apply(t.Context(), cluster.RESTConfig(), object); err != nil {
			t.Fatal(err)
		}
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(cluster.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api
}
