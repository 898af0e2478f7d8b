package reconciler

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/kustomizetest"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/render"
)

// atOnce is how many tests run in parallel. They mostly wait.
const atOnce = 8

func TestMain(m *testing.M) {
	kustomizetest.Serve()
	os.Exit(clustertest.Parallel(m, atOnce))
}

// gate is a Decrypter that blocks a render until the test releases it.
type gate struct {
	reads atomic.Int32
	open  chan struct{}
}

func (g *gate) Encrypted(_ string, content []byte) bool {
	g.reads.Add(1)
	if strings.Contains(string(content), "slow") {
		<-g.open
	}
	return false
}

func (g *gate) Open(context.Context, string, []byte) (render.Opened, error) {
	return render.Opened{}, nil
}

// impatient makes passes end before every render that does not end at once.
func (w *world) impatient() *gate {
	w.RenderPatience = time.Nanosecond
	g := &gate{open: make(chan struct{})}
	w.env.Decrypter = g
	return g
}

func TestNoPassWaitsForARender(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	g := w.impatient()
	slow := w.commits("a.yaml", configMap("a", "slow"))
	if o := w.pass(); !o.Quiet() || found(o).CommitState != Rendering || o.Deadline.IsZero() {
		t.Errorf("at first: got %+v", o)
	}
	w.advances(time.Minute)
	w.becomes(plan.Going, "rendering commit "+slow[:8]+" since 2")

	w.edits("ConfigMap/a", `{"data": {"v": "hand"}}`)
	w.passes("the correction of what runs", func(Outcome) bool { return w.value("a", "v") == "one" })

	close(g.open)
	if o := w.becomes(plan.Settled); found(o).HealthyCommit != slow || w.value("a", "v") != "slow" {
		t.Errorf("at last: got %+v", o)
	}
}

func TestTheFirstCommitIsRenderedBesideThePasses(t *testing.T) {
	w := newWorld(t)
	g := w.impatient()
	w.commits("a.yaml", configMap("a", "slow"))
	w.advances(time.Minute)
	w.pass()
	w.advances(time.Minute)
	if o := w.pass(); o.State() != plan.Going || o.Quiet() || !strings.HasPrefix(found(o).Message, "rendering commit ") {
		t.Errorf("got %+v", o)
	}
	close(g.open)
	w.becomes(plan.Settled)
}

// An agent that has just started renders what it finds applied, and does not report that.
func TestARestartIsNotTold(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "slow"))
	w.becomes(plan.Settled)
	w.restarts()
	g := w.impatient()
	w.pass()
	w.advances(time.Minute)
	if o := w.pass(); !o.Quiet() {
		t.Errorf("got %+v", o)
	}
	close(g.open)
	w.becomes(plan.Settled)
}

func TestANewerCommitDoesNotWaitForTheRenderOfAnOlder(t *testing.T) {
	w := newWorld(t)
	g := w.impatient()
	defer close(g.open)
	w.commits("a.yaml", configMap("a", "slow"))
	w.pass()
	w.commits("a.yaml", configMap("a", "two"))
	w.becomes(plan.Settled)
	if w.value("a", "v") != "two" {
		t.Error("the newest was not applied")
	}
}

func TestARetryIsKeptUntilTheCommitIsRendered(t *testing.T) {
	w := newWorld(t)
	failing := strings.Replace(job("migrate", "api:1"), "template: {", "template: {metadata: {labels: {kwok.berth.dev/behaviour: fail}}, ", 1)
	w.commits("a.yaml", configMap("a", "one"), "job.yaml", failing)
	w.becomes(plan.Failed, "Job/migrate")
	g := w.impatient()
	w.env.Settings, w.env.Retry = `{"changed": true}`, "again"
	w.commits("a.yaml", configMap("a", "slow"))
	w.pass()
	close(g.open)
	before := w.look("Job/migrate").GetUID()
	w.passes("another run", func(Outcome) bool {
		job := w.look("Job/migrate")
		return job != nil && job.GetUID() != before
	})
}

func TestOnlyTheClockIsTriedAgainByItself(t *testing.T) {
	r := New(Config{Cluster: &clusters.Cluster{}, Now: time.Now, Jitter: func() float64 { return 0 }})
	for _, c := range []struct {
		limit kustomize.LimitError
		again bool
	}{
		{kustomize.LimitError{Resource: "time"}, true},
		{kustomize.LimitError{Resource: "processor time"}, false},
		{kustomize.LimitError{Resource: "memory"}, false},
	} {
		if again := !r.again(fmt.Errorf("building: %w", &c.limit)).IsZero(); again != c.again {
			t.Errorf("%s: tried again: %t, want %t", c.limit.Resource, again, c.again)
		}
	}
}

// A commit that exceeded its limits is built again for another input or when a user asks, and for no other reason.
func TestWhatExceededItsLimitsIsNotTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.commits("k8s/a.yaml", configMap("a", "one"))
	w.env.Path = "k8s"
	w.becomes(plan.Settled)
	w.Kustomize = kustomizetest.Limited(kustomize.Limits{CPU: 100 * time.Millisecond})
	w.commits("k8s/kustomization.yaml", "resources: [a.yaml]\npatches:\n"+strings.Repeat("- {path: p.yaml, target: {kind: ConfigMap}}\n", 2000),
		"k8s/p.yaml", `[{"op": "add", "path": "/data/x", "value": "y"}]`)
	const told = "k8s/kustomization.yaml: Kustomize cannot build it: it takes more processor time than the limit of 100ms; "
	w.becomes(plan.Failed, told, "; it is built again when its files change, or by berth retry "+w.env.Name)
	g := &gate{}
	w.env.Decrypter = g
	w.commits("README.md", "another commit")
	w.becomes(plan.Failed, told)
	if n := g.reads.Load(); n > 0 {
		t.Errorf("it was rendered again: %d files were read", n)
	}
	w.env.Retry = "again"
	w.becomes(plan.Failed, told)
	if g.reads.Load() == 0 {
		t.Error("it was not rendered again on a request")
	}
	w.Kustomize = kustomizetest.Builder() // on a slow machine, the start of the process alone may exceed the limit
	w.commits("k8s/kustomization.yaml", "resources: [a.yaml]\n")
	w.becomes(plan.Settled)
}

// The controller recovers from a panic of a pass, and of no other goroutine.
func TestARenderThatPanicsEndsOnlyItsPass(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.env.Decrypter = breaker{}
	panicked := func() (value any) {
		defer func() { value = recover() }()
		w.pass()
		return nil
	}()
	if text, _ := panicked.(string); !strings.Contains(text, "rendering_test.go") {
		t.Fatalf("panicked with %.300v", panicked)
	}
	w.env.Decrypter = nil
	w.becomes(plan.Settled)
}

// breaker is a Decrypter that panics.
type breaker struct{ *gate }

func (breaker) Encrypted(string, []byte) bool { panic("a manifest") }
