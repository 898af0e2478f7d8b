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
	NewMetrics(registry).count(&v1alpha1.Environment{}, reconciler.Outcome{Finding: reconciler.Judged{Fights: 1}, Results: []apply.Result{
		{Done: apply.Created},
		{Done: apply.Corrected, Step: plan.Step{Action: plan.Correct}},
		{Err: &apply.Error{Class: apply.Invalid}},
		{Err: &apply.Error{Class: apply.Exists}},
		{Err: &apply.Error{Class: apply.Exists}, Live: &observed.Object{}}, // its existence is known only now
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

// An environment that cannot be judged, such as during the first listing after a restart, does not count as unhealthy.
func TestReadyIsWhatWasJudgedLast(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := New(Config{Metrics: NewMetrics(registry)})
	env := &v1alpha1.Environment{}
	r.Metrics.judge(env, found(reconciler.Judged{State: plan.Settled}))
	for _, o := range []reconciler.Outcome{{Finding: reconciler.NotJudged{}}, {Finding: reconciler.Judged{State: plan.Going, Premature: true}}, {Finding: reconciler.Judged{State: plan.Going}, Again: true}} {
		if _, err := r.Environment(t.Context(), env, Standing{Outcome: o}); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].Metric[0].GetGauge().GetValue() != 1 {
		t.Errorf("got %v, %v", families, err)
	}
}

// An environment is ready only while it runs what Git says, and not when expired, suspended or rolled back.
func TestWhatIsReady(t *testing.T) {
	settled := reconciler.Judged{State: plan.Settled}
	back := reconciler.Judged{State: plan.Settled, CommitState: reconciler.RolledBack}
	gone := reconciler.Outcome{Finding: reconciler.TornDown{State: plan.Settled, Gone: true}}
	for _, test := range []struct {
		name     string
		standing Standing
		suspend  bool
		want     float64
	}{
		{"it is healthy", found(settled), false, 1},
		{"it is suspended", found(settled), true, 0},
		{"it was rolled back", found(back), false, 0},
		{"it waits for a slot", Standing{Life: Life{Stage: Queued}}, false, 0},
		{"its namespace has just been deleted because it expired", Standing{Life: Life{Stage: Expired}, Outcome: gone}, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Suspend: test.suspend}}
			NewMetrics(registry).judge(env, test.standing)
			families, err := registry.Gather()
			if err != nil || families[0].Metric[0].GetGauge().GetValue() != test.want {
				t.Errorf("got %v, %v, want %v", families, err, test.want)
			}
		})
	}
}

func TestNothingIsKeptOfAnEnvironmentThatIsGone(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := New(Config{Metrics: NewMetrics(registry), Logs: NewLogs(nil, nil)})
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review"}}
	env.Name, env.UID = "posts.review.login", "1"
	r.Metrics.judge(env, found(reconciler.Judged{State: plan.Settled}))
	r.dips[env.UID], r.Logs.known[env.UID] = time.Now(), map[container]string{}
	r.Forget(env)
	families, err := registry.Gather()
	if err != nil || len(families) > 0 || len(r.dips) > 0 || len(r.Logs.known) > 0 {
		t.Errorf("kept: %v, %v, %v, %v", families, r.dips, r.Logs.known, err)
	}
}
