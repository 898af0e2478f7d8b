package report_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/health"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/report"
)

// late is an API server, and a Reporter whose cache never learns of changes.
type late struct {
	*report.Reporter
	t         *testing.T
	namespace string
	api       client.Client
	events    *events.FakeRecorder
	log       *bytes.Buffer
	now       time.Time
}

func newLate(t *testing.T) *late {
	l := &late{t: t, namespace: server(t).Namespace(t), api: connect(t), events: events.NewFakeRecorder(10), log: &bytes.Buffer{}, now: time.Now().Add(time.Hour).Truncate(time.Second)}
	l.Reporter = report.New(report.Config{
		Client: l.api, Recorder: l.events, Metrics: report.NewMetrics(prometheus.NewRegistry(), "v1"),
		Now: func() time.Time { return l.now }, Log: slog.New(slog.NewTextHandler(l.log, nil)),
	})
	return l
}

func (l *late) environment(branch string) *v1alpha1.Environment {
	l.t.Helper()
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{
		Repository: "posts", Entry: "review", Branch: branch, Namespace: "posts-" + branch, OnRemoval: v1alpha1.RemovalDelete, Commit: commit,
	}}
	env.Namespace, env.Name = l.namespace, "posts.review."+branch
	if err := l.api.Create(l.t.Context(), env); err != nil {
		l.t.Fatal(err)
	}
	return env
}

// says reports an outcome, and checks the stored reason and the number of events.
func (l *late) says(env *v1alpha1.Environment, j reconciler.Judged, want string, wantEvents int) {
	l.t.Helper()
	if _, err := l.Environment(l.t.Context(), env.DeepCopy(), withCommit(j)); err != nil {
		l.t.Fatal(err)
	}
	if ready := meta.FindStatusCondition(l.stored(env).Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != want {
		l.t.Errorf("after %s it is %v, want %s", j.State, ready, want)
	}
	l.told(wantEvents)
}

func (l *late) stored(env *v1alpha1.Environment) *v1alpha1.Environment {
	l.t.Helper()
	stored := &v1alpha1.Environment{}
	if err := l.api.Get(l.t.Context(), client.ObjectKeyFromObject(env), stored); err != nil {
		l.t.Fatal(err)
	}
	return stored
}

func (l *late) told(want int) {
	l.t.Helper()
	if got := len(l.events.Events); got != want {
		l.t.Errorf("there are %d events, want %d", got, want)
	}
	for len(l.events.Events) > 0 {
		<-l.events.Events
	}
}

func of(state plan.State) reconciler.Judged { return reconciler.Judged{State: state} }

// Passes follow each other faster than the cache learns of the last write.
func TestALateCache(t *testing.T) {
	l := newLate(t)
	env, other := l.environment("login"), l.environment("logout")
	l.says(env, of(plan.Going), v1alpha1.ReasonSyncing, 1)
	l.says(env, of(plan.Going), v1alpha1.ReasonSyncing, 0)
	l.says(env, of(plan.Settled), v1alpha1.ReasonHealthy, 1)
	l.now = l.now.Add(time.Minute) // the cache is that late
	l.says(other, of(plan.Going), v1alpha1.ReasonSyncing, 1)
	version := l.stored(env).ResourceVersion
	l.says(env, of(plan.Settled), v1alpha1.ReasonHealthy, 0)
	if again := l.stored(env).ResourceVersion; again != version {
		t.Error("the same is written again")
	}
	l.says(env, of(plan.Degraded), v1alpha1.ReasonDegraded, 1)
	l.says(env, of(plan.Settled), v1alpha1.ReasonHealthy, 1)
}

func TestALateCacheOfARepository(t *testing.T) {
	l := newLate(t)
	repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL:          "https://gitlab.example.com/acme/posts.git",
		Environments: []v1alpha1.Entry{{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "k8s", Namespace: "posts"}},
	}}
	repo.Namespace, repo.Name = l.namespace, "posts"
	if err := l.api.Create(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		reason string
		events int
	}{{v1alpha1.ReasonUnreachable, 1}, {v1alpha1.ReasonUnreachable, 0}, {v1alpha1.ReasonWatching, 1}, {v1alpha1.ReasonWatching, 0}, {v1alpha1.ReasonUnreachable, 1}} {
		status := v1alpha1.RepositoryStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: step.reason}}}
		if err := l.Repository(t.Context(), repo.DeepCopy(), status); err != nil {
			t.Fatal(err)
		}
		stored := &v1alpha1.Repository{}
		if err := l.api.Get(t.Context(), client.ObjectKeyFromObject(repo), stored); err != nil {
			t.Fatal(err)
		}
		if got := stored.Status.Conditions[0].Reason; got != step.reason {
			t.Errorf("it is %s, want %s", got, step.reason)
		}
		l.told(step.events)
	}
}

// The API server accepts every report: a condition, and an event of at most 1024 bytes.
func TestLongMessages(t *testing.T) {
	l := newLate(t)
	repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL:          "https://gitlab.example.com/acme/posts.git",
		Environments: []v1alpha1.Entry{{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "k8s", Namespace: "posts"}},
	}}
	repo.Namespace, repo.Name = l.namespace, "posts"
	if err := l.api.Create(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("the branch \xff→ cannot have an environment; ", 2000)
	status := v1alpha1.RepositoryStatus{Conditions: []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid, Message: strings.ToValidUTF8(long, "?"),
	}}}
	if err := l.Repository(t.Context(), repo, status); err != nil {
		t.Fatal(err)
	}
	if note := <-l.events.Events; len(note) > 1024+len("Warning Invalid ") || !utf8.ValidString(note) {
		t.Errorf("the event has %d bytes", len(note))
	}
}

func TestTheEndOfASyncIsLoggedOnce(t *testing.T) {
	l := newLate(t)
	env := l.environment("login")
	began := l.now
	for _, step := range []struct {
		judged reconciler.Judged
		reason string
		line   string // the log line afterwards; empty: none
	}{
		{of(plan.Going), v1alpha1.ReasonSyncing, ""},
		{reconciler.Judged{State: plan.Failed, Message: "Deployment/web: crashes"}, v1alpha1.ReasonFailed, `outcome=Failed took=1m0s reason="Deployment/web: crashes"`},
		{reconciler.Judged{State: plan.Failed, Message: "Deployment/web: still crashes"}, v1alpha1.ReasonFailed, ""},
		{of(plan.Settled), v1alpha1.ReasonHealthy, "environment=posts.review.login commit=" + commit + " outcome=Healthy took=1m0s"},
		{of(plan.Degraded), v1alpha1.ReasonDegraded, ""},
		{of(plan.Settled), v1alpha1.ReasonHealthy, ""},
	} {
		l.now = began.Add(time.Minute)
		step.judged.Sync.Started = began
		l.log.Reset()
		_, err := l.Environment(t.Context(), env.DeepCopy(), withCommit(step.judged))
		if got := l.log.String(); err != nil || (got == "") != (step.line == "") || !strings.Contains(got, step.line) {
			t.Errorf("after %s the log says %q, want %q (%v)", step.judged.State, got, step.line, err)
		}
	}
}

func withCommit(j reconciler.Judged) report.Standing {
	j.Commit, j.Sync.Commit = commit, commit
	return report.Standing{Outcome: reconciler.Outcome{Finding: j}}
}

// An object that is corrected differs from Git for a moment, and a workload that scales is unhealthy for a while.
func TestWhatIsMendedSoonIsNotTold(t *testing.T) {
	l := newLate(t)
	env := l.environment("login")
	whole := reconciler.Judged{State: plan.Settled, Objects: &reconciler.Objects{Total: 2, Healthy: 2}}
	dipped := reconciler.Judged{State: plan.Settled, Objects: &reconciler.Objects{Total: 2, Healthy: 1, Unhealthy: []reconciler.Problem{{
		Key: manifest.Key{Kind: "Deployment", Name: "web"}, Health: health.Health{Status: health.Progressing, Message: "1 of 2 ready"},
	}}}}
	told := func(j reconciler.Judged, wantAgain time.Duration, wantHealthy int32) {
		t.Helper()
		again, err := l.Environment(t.Context(), env.DeepCopy(), withCommit(j))
		if got := l.stored(env).Status.Objects; err != nil || again != wantAgain || got.Healthy != wantHealthy {
			t.Errorf("%d of 2 are told, and again in %s; want %d in %s (%v)", got.Healthy, again, wantHealthy, wantAgain, err)
		}
	}
	told(whole, 0, 2)
	l.now = l.now.Add(time.Hour)
	told(dipped, 5*time.Second, 2)
	l.now = l.now.Add(3 * time.Second)
	told(dipped, 2*time.Second, 2)
	told(whole, 0, 2)
	told(dipped, 5*time.Second, 2)
	l.now = l.now.Add(5 * time.Second)
	told(dipped, 0, 1)
	ready := meta.FindStatusCondition(l.stored(env).Status.Conditions, v1alpha1.ConditionReady)
	if want := "of 2 objects, 1 settle again: Deployment/web: 1 of 2 ready"; ready.Reason != v1alpha1.ReasonHealthy || !strings.Contains(ready.Message, want) {
		t.Errorf("it is %s: %s, want %q", ready.Reason, ready.Message, want)
	}
}

const commit = "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b"

var server = clustertest.Shared(clustertest.Config{APIServerOnly: true})

// connect returns a client of an API server that knows Berth's kinds.
func connect(t *testing.T) client.Client {
	t.Helper()
	cluster := server(t)
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
