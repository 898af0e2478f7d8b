package report

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/plan"
)

func TestWhatCountsAsARefusal(t *testing.T) {
	registry := prometheus.NewRegistry()
	NewMetrics(registry).observe(&v1alpha1.Environment{}, reconciler.Outcome{Fights: 1, Results: []apply.Result{
		{Done: apply.Created},
		{Done: apply.Corrected, Step: plan.Step{Action: plan.Correct}},
		{Err: &apply.Error{Class: apply.Invalid}},
		{Err: &apply.Error{Class: apply.Exists}},
		{Err: &apply.Error{Class: apply.Exists}, Live: &plan.Live{}}, // only now it is known to be there
	}})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			got[family.GetName()] += metric.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{"berth_writes_total": 2, "berth_refusals_total": 2, "berth_corrections_total": 1, "berth_fights_total": 1} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestNothingIsKeptOfAnEnvironmentThatIsGone(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := New(Config{Metrics: NewMetrics(registry), Logs: NewLogs(nil, nil)})
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review"}}
	env.Name, env.UID = "posts.review.login", "1"
	r.Metrics.observe(env, reconciler.Outcome{State: plan.Settled})
	r.dips[env.UID], r.Logs.known[env.UID] = time.Now(), map[container]string{}
	r.Forget(env)
	families, err := registry.Gather()
	if err != nil || len(families) > 0 || len(r.dips) > 0 || len(r.Logs.known) > 0 {
		t.Errorf("kept: %v, %v, %v, %v", families, r.dips, r.Logs.known, err)
	}
}
