// Package apply carries out plans. It is the only writer of users' objects.
package apply

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/openapi"

	"berth.dev/berth/internal/panics"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

const (
	defaultConcurrency = 4
	defaultTimeout     = 30 * time.Second
)

// Config configures an Applier.
type Config struct {
	// Dynamic makes requests as the agent itself.
	Dynamic dynamic.Interface
	// As returns a client that makes requests as another user; nil: all requests are made as the agent.
	As func(user string) (dynamic.Interface, error)
	// Mapper is reset once for a kind that it does not know.
	Mapper meta.RESTMapper
	// OpenAPI returns the API server's schemas. They are read when the API server refuses a change of an existing object.
	// Without them, fields of other writers may block the change.
	OpenAPI openapi.Client
	// Concurrency is how many requests one Run makes at a time; zero means 4.
	Concurrency int
	// Timeout is the limit of one step, with all its requests; zero means 30 seconds.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Applier carries out plans. It may be used for any number of environments at the same time.
type Applier struct {
	dynamic     dynamic.Interface
	as          func(user string) (dynamic.Interface, error)
	mapper      *mapper
	openAPI     openapi.Client
	concurrency int
	timeout     time.Duration
	recent      *recent
}

// New returns an Applier.
func New(c Config) *Applier {
	if c.Concurrency == 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Applier{
		dynamic:     c.Dynamic,
		as:          c.As,
		mapper:      &mapper{rest: c.Mapper},
		openAPI:     c.OpenAPI,
		concurrency: c.Concurrency,
		timeout:     c.Timeout,
		recent:      &recent{now: c.Now, made: map[string]map[made]time.Time{}},
	}
}

// Target is the environment that a run writes: the marks of its objects, and the account whose rights apply.
type Target struct {
	// User is the user who writes all that comes from Git; empty: the agent itself.
	User string
	// Namespace is the environment's own, which the agent itself writes.
	Namespace string
	// Environment is the value of manifest.LabelEnvironment.
	Environment string
	// Annotations hold the environment's name in readable form.
	Annotations map[string]string
	// Prover proves that an object belongs to the environment.
	Prover manifest.Prover
	// Decrypted are the kinds of the entry's decryption.kinds. Answers about their objects are shown without values, as
	// those about Secrets are.
	Decrypted manifest.Kinds
}

// Done is the completed action of a step.
type Done string

// The values of Done; a failed step has none of them.
const (
	Created   Done = "created"
	Changed   Done = "changed"
	Corrected Done = "corrected"
	Replaced  Done = "replaced" // the old one was deleted; a later pass creates the new one
	Deleted   Done = "deleted"
	Unchanged Done = "unchanged"
	Prepared  Done = "prepared" // proved valid; nothing was written
	Same      Done = "same"     // a Job that has already run: its new spec only spells out defaults
)

// Result is the result of a step.
type Result struct {
	Step plan.Step
	Done Done
	// Live is the object after the step, or the object in its place if that blocks the step; nil if it is gone or unknown.
	Live *observed.Object
	// Warnings are the API server's warnings about the write, sorted. Warnings of dry runs are dropped, as are those about objects that
	// may hold secrets, because they might quote them.
	Warnings []string
	Err      *Error
	// Unproved is why a dry run could not tell whether the API server accepts the step; only Validate sets it.
	Unproved string
	// Repeated is set if an earlier try was refused with the same message.
	Repeated bool
}

// Revealed reports whether the step failed only because of an object in its place that the plan did not know. The next plan
// decides about it.
func (r Result) Revealed() bool {
	return r.Err != nil && r.Err.Class == Exists && r.Live != nil
}

// Reverted reports whether the step reverted another client's change. It did not if the change turned out to be allowed.
func (r Result) Reverted() bool { return r.Done == Corrected }

// Harmless reports whether a step failed although nothing is wrong.
func (r Result) Harmless() bool { return r.Revealed() || r.Err != nil && r.Err.Class == Taken }

// Run carries out steps, stage by stage and concurrently within a stage. It returns a result for each step, in their order.
// Steps that timed out before run last. If the step of a Namespace fails, the later steps in it are not tried. Once ctx is
// done, or too many steps have timed out, no further steps are tried.
func (a *Applier) Run(ctx context.Context, target Target, steps []plan.Step) []Result {
	r := a.begin(target)
	results := make([]Result, len(steps))
	order := make([]int, len(steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return turn(steps[i]) - turn(steps[j]) })
	for len(order) > 0 {
		stage := order
		for n, i := range order {
			if turn(steps[i]) != turn(steps[order[0]]) {
				stage = order[:n]
				break
			}
		}
		order = order[len(stage):]
		r.each(stage, func(i int) { results[i] = r.step(ctx, steps[i]) })
	}
	return results
}

// turn returns when a step runs. A namespace keeps its place, because others need it.
func turn(s plan.Step) int {
	at := s.Stage*3 + within(s)
	if s.Late && !isNamespace(s.Key) {
		return lastTurn + at
	}
	return at
}

// lastTurn is after all stages of a plan.
const lastTurn = 1 << 20

// mostUnanswered is how many steps of a run may time out before the run ends: each may have taken the whole time-out, which
// delays other passes.
const mostUnanswered = 3

// run is one call of Run.
type run struct {
	*Applier
	target Target
	// dryRun is metav1.DryRunAll for a run that writes nothing.
	dryRun  []string
	schemas *schemas

	asAccount func() (dynamic.Interface, error)

	mu         sync.Mutex
	lost       map[string]string // why nothing can be written into a namespace
	granting   bool              // rights were written, and have not been seen to work yet
	unanswered int
}

func (a *Applier) begin(target Target, dryRun ...string) *run {
	return &run{
		Applier: a, target: target, dryRun: dryRun, schemas: &schemas{client: a.openAPI}, lost: map[string]string{},
		asAccount: sync.OnceValues(func() (dynamic.Interface, error) { return a.as(target.User) }),
	}
}

// each calls do for every index, in order and with bounded concurrency, and waits for all. A panic of one of them becomes the
// caller's, whose controller survives it.
func (r *run) each(indexes []int, do func(int)) {
	var all errgroup.Group
	all.SetLimit(r.concurrency)
	for _, i := range indexes {
		all.Go(func() error {
			return panics.Catch(func() error {
				do(i)
				return nil
			})
		})
	}
	panics.Again(all.Wait()) // errors are in the results
}

func (r *run) step(ctx context.Context, s plan.Step) Result {
	result := Result{Step: s}
	if !s.Acts() {
		result.Done, result.Live = Unchanged, s.Live
		return result
	}
	if s.Seek {
		s = r.seek(ctx, s)
		result.Step = s
	}
	err := r.untried(ctx, s)
	if err == nil {
		listening, heard := hear(ctx)
		result.Done, result.Live, err = r.act(listening, s)
		for try := 0; r.granted(ctx, s, try, err); try++ {
			result.Done, result.Live, err = r.act(listening, s)
		}
		if len(r.dryRun) == 0 && !r.mayHoldSecrets(s.Key) {
			result.Warnings = heard.all()
		}
	}
	if err != nil {
		result.Done, result.Err = "", r.explain(s, err)
	}
	r.note(result)
	return result
}

// untried returns why a step is not tried, or nil.
func (r *run) untried(ctx context.Context, s plan.Step) error {
	if ctx.Err() != nil {
		return &finding{class: Skipped, text: "was not tried: the pass was cut short", cause: context.Cause(ctx)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unanswered >= mostUnanswered {
		return &finding{class: Transient, text: "was not tried: the API server did not answer earlier requests in time"}
	}
	if why := r.lost[s.Key.Namespace]; why != "" {
		return &finding{class: Skipped, text: "was not tried: " + why}
	}
	return nil
}

// note records a result for later steps and passes.
func (r *run) note(result Result) {
	s := result.Step
	r.mu.Lock()
	defer r.mu.Unlock()
	if result.Err == nil {
		if !r.own(s.Key) {
			r.recent.proved(s.Key.Namespace)
		}
		r.recent.note(s, result.Done)
		r.granting = manifest.IsBinding(s.Key) || r.granting && r.own(s.Key)
		return
	}
	switch writes := s.Action != plan.Delete; {
	case writes && isNamespace(s.Key):
		r.lost[s.Key.Name] = "its namespace could not be written"
	case writes && s.Live == nil && manifest.IsBinding(s.Key) && r.target.User != "":
		r.lost[s.Key.Namespace] = "the account that writes it could not be given its rights"
	case writes && s.Live == nil && manifest.IsOwn(s.Key):
		r.lost[s.Key.Namespace] = "the limits of its namespace could not be written"
	}
	if result.Err.Class == Unanswered {
		r.unanswered++
	}
}

// act makes the requests of one step.
func (r *run) act(ctx context.Context, s plan.Step) (Done, *observed.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	client, err := r.client(s)
	if err != nil {
		return "", nil, err
	}
	switch {
	case s.Ran != "" && r.hasRun(ctx, client, s):
		return r.same(ctx, client, s)
	case s.Action == plan.Delete:
		return r.remove(ctx, client, s)
	case s.Action == plan.Replace:
		return r.replace(ctx, client, s)
	case s.Action == plan.Prepare:
		return r.prepare(ctx, client, s)
	case manifest.IsJob(s.Key.GroupKind()) && s.Live == nil:
		return r.create(ctx, client, s)
	case manifest.IsJob(s.Key.GroupKind()):
		return r.mark(ctx, client, s)
	default:
		return r.apply(ctx, client, s)
	}
}

func isNamespace(k manifest.Key) bool { return k.Group == "" && k.Kind == "Namespace" }
