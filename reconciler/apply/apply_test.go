package apply

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// journal records the objects of requests in order, and how many were in flight at a time.
type journal struct {
	mu         sync.Mutex
	names      []string
	under, top int
}

// listen configures an applier to write a journal. It delays the first answers until full requests are in flight,
// which shows that the limit is both kept and used.
func (j *journal) listen(full int) func(*rest.Config, *Config) {
	together := make(chan struct{})
	return func(c *rest.Config, config *Config) {
		config.Concurrency = full
		c.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if j.enter(r) == full {
					close(together)
				}
				<-together
				defer j.leave()
				return next.RoundTrip(r)
			})
		})
	}
}

// enter returns how many requests there have been.
func (j *journal) enter(r *http.Request) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.under++
	j.top = max(j.top, j.under)
	j.names = append(j.names, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	return len(j.names)
}

func (j *journal) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.under--
}

// many returns steps that create ConfigMaps named by their stage and number.
func (w *world) many(stages ...int) []plan.Step {
	w.t.Helper()
	var steps []plan.Step
	for i, stage := range stages {
		step := w.step(plan.Create, with(configMap, "settings", fmt.Sprintf("s%d-%02d", stage, i)), nil)
		step.Stage = stage
		steps = append(steps, step)
	}
	return steps
}

func TestRunGoesByStage(t *testing.T) {
	var j journal
	w := newWorld(t, j.listen(1))
	steps := w.many(2, 0, 1, 0, 2, 1, 0)
	results := w.run(steps...)
	want := []string{"s0-01", "s0-03", "s0-06", "s1-02", "s1-05", "s2-00", "s2-04"}
	if !slices.Equal(j.names, want) {
		t.Errorf("requests for %v, want %v", j.names, want)
	}
	for i, r := range results {
		w.must(Created, r)
		if r.Step.Key != steps[i].Key || r.Live.Key != steps[i].Key {
			t.Errorf("result %d is that of %s, want %s", i, r.Live.Key, steps[i].Key)
		}
	}
}

func TestRunIsConcurrentAndBounded(t *testing.T) {
	var j journal
	w := newWorld(t, j.listen(3))
	steps := w.many(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1)
	for _, r := range w.run(steps...) {
		w.must(Created, r)
	}
	if j.top != 3 {
		t.Errorf("%d requests at a time, want 3", j.top)
	}
	if first := j.names[:10]; slices.ContainsFunc(first, func(name string) bool { return strings.HasPrefix(name, "s1") }) {
		t.Errorf("the next stage began before the first had ended: %v", j.names)
	}
}

func TestRunAfterCancellation(t *testing.T) {
	w := newWorld(t)
	results := w.applier.Run(cancelled(), w.target, w.many(0, 1))
	for _, r := range results {
		w.refused(Skipped, "infra/app.yaml:12: "+r.Step.Key.String()+": was not tried: the pass was cut short", r)
	}
}

func TestRunIsCutShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	requests := 0
	w := newWorld(t, transport(func(*http.Request) {
		if requests++; requests == 2 {
			cancel()
		}
	}), func(_ *rest.Config, c *Config) { c.Concurrency = 1 })
	results := w.applier.Run(ctx, w.target, w.many(0, 0, 0, 1))
	w.must(Created, results[0])
	w.classed(Transient, results[1])
	w.classed(Skipped, results[2])
	w.classed(Skipped, results[3])
	if requests != 2 {
		t.Errorf("%d requests, want 2", requests)
	}
}

func TestRunDoesNothingForStepsThatDoNotAct(t *testing.T) {
	w := newWorld(t, transport(func(r *http.Request) { t.Errorf("asked for %s", r.URL) }))
	live := &observed.Object{UID: "x"}
	kept := w.step(plan.Keep, configMap, live)
	blocked := w.step(plan.Change, configMap, live)
	blocked.Blocked = "waits"
	for _, r := range w.run(kept, blocked) {
		if got := w.must(Unchanged, r); got != live {
			t.Errorf("the object became %+v", got)
		}
	}
}

// An error of one object does not affect the others.
func TestRunGoesOnAfterAnError(t *testing.T) {
	w := newWorld(t)
	results := w.run(
		w.step(plan.Create, with(deployment, "replicas: 2", "replicas: -1"), nil),
		w.step(plan.Create, configMap, nil),
	)
	w.classed(Invalid, results[0])
	w.must(Created, results[1])
}

// The exception is the error of a namespace.
func TestRunTriesNothingInANamespaceThatFailed(t *testing.T) {
	w := newWorld(t)
	namespace := w.step(plan.Create, "{apiVersion: v1, kind: Namespace, metadata: {name: NS}}", nil)
	inside := w.step(plan.Create, configMap, nil)
	inside.Stage = 1
	outside := w.step(plan.Create, priority, nil)
	outside.Stage = 1
	results := w.run(namespace, inside, outside)
	w.classed(Exists, results[0])
	w.refused(Skipped, "infra/app.yaml:12: ConfigMap/NS/settings: was not tried: its namespace could not be written", results[1])
	w.must(Created, results[2])
	if w.look(configMap) != nil {
		t.Error("it was written all the same")
	}
}

func TestRunInANamespaceOfItsOwn(t *testing.T) {
	w := newWorld(t)
	const own = "{apiVersion: v1, kind: Namespace, metadata: {name: NS-own}}"
	steps := []plan.Step{w.step(plan.Create, own, nil)}
	for _, text := range []string{configMap, secret, deployment, job} {
		s := w.step(plan.Create, with(text, "namespace: NS", "namespace: NS-own"), nil)
		s.Stage = 1
		steps = append(steps, s)
	}
	for _, r := range w.run(steps...) {
		w.must(Created, r)
	}
	live := w.seen(own)
	w.patch(own, `{"metadata":{"labels":{"berth.dev/environment":null}}}`)
	if corrected := w.must(Corrected, w.do(plan.Correct, own, w.seen(own))); corrected.Environment != environment || corrected.UID != live.UID {
		t.Errorf("the namespace is %+v", corrected)
	}
}

// The caller's controller recovers from a panic of the caller's goroutine only.
func TestAPanicOfAStepIsTheCallers(t *testing.T) {
	r := (&Applier{concurrency: 2}).begin(Target{})
	var done atomic.Int32
	panicked := func() (value any) {
		defer func() { value = recover() }()
		r.each([]int{0, 1, 2, 3}, func(i int) {
			if i == 1 {
				panic("an object")
			}
			done.Add(1)
		})
		return nil
	}()
	if text, _ := panicked.(string); !strings.Contains(text, "apply_test.go") || done.Load() != 3 {
		t.Errorf("panicked with %.300v after %d other steps", panicked, done.Load())
	}
}
