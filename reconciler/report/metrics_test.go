package report

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// gathered returns the values of all metrics, with their labels in the order of their names. Histograms count.
func gathered(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "berth_build_info" {
			continue
		}
		for _, m := range family.Metric {
			name := family.GetName()
			for _, label := range m.Label {
				name += " " + label.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestWhatCountsAsARefusal(t *testing.T) {
	registry := prometheus.NewRegistry()
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review"}}
	quiet := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "production"}}
	m := NewMetrics(registry, "v1")
	m.count(quiet, Standing{Outcome: reconciler.Outcome{Finding: reconciler.Judged{}}})
	m.count(env, Standing{Took: time.Second, Outcome: reconciler.Outcome{Finding: reconciler.Judged{Fights: 1}, Results: []apply.Result{
		{Done: apply.Created},
		{Done: apply.Corrected, Step: plan.Step{Action: plan.Correct}},
		{Err: &apply.Error{Class: apply.Invalid}},
		{Err: &apply.Error{Class: apply.Exists}},
		{Err: &apply.Error{Class: apply.Exists}, Live: &observed.Object{}}, // its existence is known only now
	}}})
	want := map[string]float64{
		"berth_writes_total created review posts": 1, "berth_writes_total corrected review posts": 1, "berth_corrections_total review posts": 1,
		"berth_refusals_total invalid review posts": 1, "berth_refusals_total exists review posts": 1, "berth_fights_total review posts": 1,
		"berth_pass_duration_seconds refused": 1, "berth_corrections_total production posts": 0, "berth_fights_total production posts": 0,
	}
	if got := gathered(t, registry); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// An environment counts under the reason of its status, once.
func TestEnvironmentsAreCountedByTheirReason(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry, "v1")
	stands := func(uid types.UID, reason string) *v1alpha1.Environment {
		env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review"}}
		env.UID = uid
		m.stand(env, v1alpha1.EnvironmentStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}}})
		return env
	}
	login := stands("1", v1alpha1.ReasonSyncing)
	stands("2", v1alpha1.ReasonSyncing)
	stands("1", v1alpha1.ReasonHealthy)
	stands("1", v1alpha1.ReasonHealthy)
	if got, want := gathered(t, registry), map[string]float64{"berth_environments review Healthy posts": 1, "berth_environments review Syncing posts": 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	m.forget(login)
	m.forget(login)
	if got, want := gathered(t, registry), map[string]float64{"berth_environments review Syncing posts": 1}; !maps.Equal(got, want) {
		t.Errorf("after a deletion: got %v, want %v", got, want)
	}
}

func TestNothingIsKeptOfARepositoryThatIsGone(t *testing.T) {
	registry := prometheus.NewRegistry()
	all(NewMetrics(registry, "v1")).ForgetRepository("posts")
	for name := range gathered(t, registry) {
		if strings.HasSuffix(name, " posts") && !strings.HasPrefix(name, "berth_environment") { // Environments are deleted by themselves
			t.Errorf("kept: %s", name)
		}
	}
}

func TestClustersThatAreNotKnownYetHaveNoMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry, "v1")
	if got := gathered(t, registry); len(got) > 0 {
		t.Errorf("without clusters: %v", got)
	}
	ends := time.Unix(7, 0)
	m.Clusters(slices.Values([]ClusterState{{Name: "new", Expires: ends}, {Name: "good", Usable: true, Known: true}, {Name: "lost", Known: true}}))
	want := map[string]float64{"berth_cluster_credentials_expiry_timestamp_seconds new": 7, "berth_cluster_available good": 1, "berth_cluster_available lost": 0}
	if got := gathered(t, registry); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The forge of a Repository that reports nothing is neither good nor bad.
func TestForgesAreCountedWhileTheyAreUsed(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry, "v1")
	repo := &v1alpha1.Repository{}
	repo.Name = "posts"
	follows := func(conditions ...metav1.Condition) {
		m.follow(repo, v1alpha1.RepositoryStatus{Conditions: conditions})
	}
	feedback := func(status metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionFeedback, Status: status}
	}
	wants := func(rule string, want map[string]float64) {
		t.Helper()
		want["berth_repository_ready posts"] = 0
		if got := gathered(t, registry); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", rule, got, want)
		}
	}
	follows(feedback(metav1.ConditionTrue))
	m.ForgeAsked("posts", "", time.Second)
	wants("reports are accepted", map[string]float64{"berth_forge_ready posts": 1, "berth_forge_request_duration_seconds posts Success": 1})
	follows(feedback(metav1.ConditionFalse))
	m.ForgeAsked("posts", "Unauthorized", time.Second)
	wants("the token was revoked", map[string]float64{
		"berth_forge_ready posts": 0, "berth_forge_request_duration_seconds posts Success": 1, "berth_forge_request_duration_seconds posts Unauthorized": 1,
	})
	follows()
	m.ForgeLeft("posts")
	wants("spec.feedback was removed", map[string]float64{})
}

// all gives every metric a value.
func all(m *Metrics) *Metrics {
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review"}}
	repo := &v1alpha1.Repository{}
	repo.Name = "posts"
	m.count(env, Standing{Took: time.Second, Outcome: reconciler.Outcome{Finding: reconciler.Judged{Fights: 1}, Results: []apply.Result{
		{Done: apply.Corrected, Step: plan.Step{Action: plan.Correct}}, {Err: &apply.Error{Class: apply.Invalid}},
	}}})
	m.Clusters(slices.Values([]ClusterState{{Name: "staging", Known: true, Expires: time.Unix(1, 0)}}))
	m.judge(env, Standing{})
	m.stand(env, v1alpha1.EnvironmentStatus{})
	m.ended(env, v1alpha1.SyncStatus{Took: metav1.Duration{Duration: time.Second}})
	m.follow(repo, v1alpha1.RepositoryStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionFeedback}}})
	m.ForgeAsked("posts", "", time.Second)
	m.Listed("posts", "", time.Now(), time.Second)
	m.Delivered("posts", "Accepted")
	m.Decrypted(time.Second, nil)
	m.ImageChecked("there")
	return m
}

// documented matches a row of docs/metrics.md: name, type, labels.
var documented = regexp.MustCompile("(?m)^\\| `(berth_\\w+)` \\| (\\w+) \\| ([^|]*) \\|")

// The page is what dashboards and alerts are written by, so it lists every metric with its type and labels.
func TestMetricsAreDocumented(t *testing.T) {
	registry := prometheus.NewRegistry()
	all(NewMetrics(registry, "v1"))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exist := map[string]string{}
	for _, family := range families {
		var labels []string
		for _, label := range family.Metric[0].Label {
			labels = append(labels, "`"+label.GetName()+"`")
		}
		exist[family.GetName()] = strings.ToLower(family.GetType().String()) + " " + strings.Join(labels, ", ")
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]string{}
	for _, row := range documented.FindAllStringSubmatch(string(page), -1) {
		labels := strings.Split(strings.TrimSpace(row[3]), ", ")
		slices.Sort(labels)
		described[row[1]] = row[2] + " " + strings.Join(labels, ", ")
	}
	if !maps.Equal(exist, described) {
		t.Errorf("there are    %v\ndescribed are %v", exist, described)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("names that Prometheus advises against: %v, %v", problems, err)
	}
}

// An environment that cannot be judged, such as during the first listing after a restart, does not count as unhealthy.
func TestReadyIsWhatWasJudgedLast(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := New(Config{Metrics: NewMetrics(registry, "v1")})
	env := &v1alpha1.Environment{}
	r.Metrics.judge(env, found(reconciler.Judged{State: plan.Settled}))
	for _, o := range []reconciler.Outcome{{Finding: reconciler.NotJudged{}}, {Finding: reconciler.Judged{State: plan.Going, Premature: true}}, {Finding: reconciler.Judged{State: plan.Going}, Again: true}} {
		if _, err := r.Environment(t.Context(), env, Standing{Outcome: o}); err != nil {
			t.Fatal(err)
		}
	}
	if got := gathered(t, registry); got["berth_environment_ready   false "] != 1 {
		t.Errorf("got %v", got)
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
			NewMetrics(registry, "v1").judge(env, test.standing)
			if got := gathered(t, registry); got["berth_environment_ready   false "] != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// An alert for all environments but previews must not find an old value of one that is a preview now.
func TestAnEnvironmentIsAPreviewOrNot(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry, "v1")
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "live"}}
	env.Name = "posts.live.main"
	for _, preview := range []bool{false, true, false} {
		m.judge(env, Standing{Preview: preview, Life: Life{Stage: Held}})
		want := map[string]float64{fmt.Sprintf("berth_environment_ready live posts.live.main %t posts", preview): 0}
		if got := gathered(t, registry); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestNothingIsKeptOfAnEnvironmentThatIsGone(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := New(Config{Metrics: NewMetrics(registry, "v1"), Logs: NewLogs(nil, nil, nil)})
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review"}}
	env.Name, env.UID = "posts.review.login", "1"
	r.Metrics.judge(env, found(reconciler.Judged{State: plan.Settled}))
	r.dips[env.UID], r.Logs.known[env.UID] = time.Now(), map[container]string{}
	r.Forget(env)
	if got := gathered(t, registry); len(got) > 0 || len(r.dips) > 0 || len(r.Logs.known) > 0 {
		t.Errorf("kept: %v, %v, %v", got, r.dips, r.Logs.known)
	}
}
