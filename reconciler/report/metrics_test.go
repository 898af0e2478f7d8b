package report

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

func TestWhatCountsAsARefusal(t *testing.T) {
	registry := prometheus.NewRegistry()
	NewMetrics(registry).count(&v1alpha1.Environment{}, reconciler.Outcome{Fights: 1, Results: []apply.Result{
		{Done: apply.Created},
		{Done: apply.Corrected, Step: plan.Step{Action: plan.Correct}},
		{Err: &apply.Error{Class: apply.Invalid}},
		{Err: &apply.Error{Class: apply.Exists}},
		{Err: &apply.Error{Class: apply.Exists}, Live: &observed.Object{}}, // only now it is known to be there
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

// What cannot be judged, as while the watches of a restarted agent fill, does not count as ill.
func TestReadyIsWhatWasJudgedLast(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := New(Config{Metrics: NewMetrics(registry)})
	env := &v1alpha1.Environment{}
	r.Metrics.judge(env, reconciler.Outcome{State: plan.Settled})
	for _, o := range []reconciler.Outcome{{Quiet: true}, {State: plan.Going, Again: true}} {
		if _, err := r.Environment(t.Context(), env, o); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].Metric[0].GetGauge().GetValue() != 1 {
		t.Errorf("got %v, %v", families, err)
	}
}

func TestNothingIsKeptOfAnEnvironmentThatIsGone(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := New(Config{Metrics: NewMetrics(registry), Logs: NewLogs(nil, nil)})
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review"}}
	env.Name, env.UID = "posts.review.login", "1"
	r.Metrics.judge(env, reconciler.Outcome{State: plan.Settled})
	r.dips[env.UID], r.Logs.known[env.UID] = time.Now(), map[container]string{}
	r.Forget(env)
	families, err := registry.Gather()
	if err != nil || len(families) > 0 || len(r.dips) > 0 || len(r.Logs.known) > 0 {
		t.Errorf("kept: %v, %v, %v, %v", families, r.dips, r.Logs.known, err)
	}
}
