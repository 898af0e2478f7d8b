// Package live knows what is in the cluster, and what drifted. It keeps the watches, reduces objects as they arrive, and
// answers from memory what is known of an environment.
package live

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Config configures Watches.
type Config struct {
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
	// Confined are kinds that are watched in each environment's namespace by itself, as the environment's account, instead
	// of everywhere as the agent. They must be kinds that are watched by metadata only. nil: none.
	Confined []schema.GroupKind
	// As returns the client for another user. Only Confined needs it.
	As func(user string) (metadata.Interface, error)
	// Mapper finds where kinds are served. An unknown kind is requested again and again, so a mapper with a cache must
	// discover again when it does not know a kind.
	Mapper meta.RESTMapper
	// Requeue is called with the label value of an environment when one of its objects changed in a relevant way, or one of its
	// kinds became known or unknown. It is called from many goroutines, in bursts, and must not block. nil: no calls.
	Requeue func(environment string)
	// Stray is called with the marks of a namespace whose label names an environment that is not followed, when the namespace
	// appears or its label changes. It is called as Requeue is. nil: no calls.
	Stray func(namespace *metav1.PartialObjectMetadata)
	// Log gets a line when a kind cannot be watched. nil: silent.
	Log *slog.Logger
	// Clock tells the time and waits. nil: the real one.
	Clock clock.WithDelayedExecution
	// Jitter returns a number in [0, 1) that spreads attempts to watch again. nil: they are not spread.
	Jitter func() float64
	// SyncTimeout is how long an initial listing may take. One that takes longer is reported as observed.Unwatched and
	// retried. 0: 30 s.
	SyncTimeout time.Duration
}

// Watches keep one watch for each kind that an environment uses, and know all objects with an environment's label. Their
// methods may be called from any goroutine, before and while they run.
type Watches struct {
	cfg Config

	// mu guards all fields below. It is held only to change values, never while waiting.
	mu           sync.Mutex
	run          context.Context // nil before Run and after
	running      sync.WaitGroup
	environments map[string]environment
	// residents has the environments that live in a namespace.
	residents map[string]set[string]
	kinds     map[place]*kind
	// members has the objects that bear an environment's label.
	members map[string]set[*object]
	// claimants has the environments in whose places there are foreign objects.
	claimants map[manifest.Key]set[string]
	// held has the requeues that wait for the answer to a write of our own.
	held   map[*object]*hold
	graves graves
	// listed is closed once the namespaces are known. strays are the namespaces that Stray is to be called with.
	listed chan struct{}
	strays []*metav1.PartialObjectMetadata
	// attended has the single objects that environments wait for.
	attended map[manifest.Key]*attended
	rollouts
}

// environment holds the arguments of Follow.
type environment struct {
	namespace, user string
	places          set[place]
}

type set[T comparable] = map[T]struct{}

// namespaceKind is always watched, and whole, because an environment may have to live in any namespace.
var namespaceKind = schema.GroupKind{Kind: "Namespace"}

// New returns Watches that watch nothing before they Run.
func New(cfg Config) *Watches {
	if cfg.SyncTimeout == 0 {
		cfg.SyncTimeout = 30 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Jitter == nil {
		cfg.Jitter = func() float64 { return 0 }
	}
	if cfg.Requeue == nil {
		cfg.Requeue = func(string) {}
	}
	if cfg.Stray == nil {
		cfg.Stray = func(*metav1.PartialObjectMetadata) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watches{
		cfg:          cfg,
		environments: map[string]environment{},
		residents:    map[string]set[string]{},
		kinds:        map[place]*kind{},
		members:      map[string]set[*object]{},
		claimants:    map[manifest.Key]set[string]{},
		held:         map[*object]*hold{},
		graves:       graves{of: map[types.UID]grave{}},
		listed:       make(chan struct{}),
		attended:     map[manifest.Key]*attended{},
		rollouts:     newRollouts(),
	}
	w.kinds[namespaces] = newKind(w, namespaces)
	return w
}

// Run watches until the context ends, and returns once all its goroutines have ended.
func (w *Watches) Run(ctx context.Context) error {
	w.mu.Lock()
	w.run = ctx
	for _, k := range w.kinds {
		k.start()
	}
	w.mu.Unlock()

	<-ctx.Done()
	w.mu.Lock()
	w.run = nil // nothing is started any more
	w.mu.Unlock()
	w.running.Wait()
	return nil
}

// begin runs f until the returned function is called or Run ends. Without Run it does nothing.
func (w *Watches) begin(f func(context.Context)) context.CancelFunc {
	if w.run == nil || w.run.Err() != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(w.run)
	w.running.Go(func() { f(ctx) })
	return cancel
}

// later runs f, under the lock, after a time.
func (w *Watches) later(d time.Duration, f func(requeues)) {
	w.cfg.Clock.AfterFunc(d, func() { w.change(f) })
}

// requeues are the environments to requeue.
type requeues set[string]

func (s requeues) add(environment string) {
	if environment != "" {
		s[environment] = struct{}{}
	}
}

func (s requeues) addAll(others requeues) {
	for e := range others {
		s.add(e)
	}
}

// change runs f under the lock, and then requeues the environments that f named.
func (w *Watches) change(f func(requeues)) {
	requeued, strays := w.changed(f)
	for e := range requeued {
		w.cfg.Requeue(e)
	}
	for _, namespace := range strays {
		w.cfg.Stray(namespace)
	}
}

func (w *Watches) changed(f func(requeues)) (requeues, []*metav1.PartialObjectMetadata) {
	w.mu.Lock()
	defer w.mu.Unlock()
	requeued := requeues{}
	f(requeued)
	for e := range requeued {
		if _, followed := w.environments[e]; !followed {
			delete(requeued, e)
		}
	}
	strays := w.strays
	w.strays = nil
	return requeued, strays
}

// Following says what Watches follow for an environment.
type Following struct {
	// Namespace is the environment's own, and User the account that writes it.
	Namespace, User string
	// Kinds are those that it uses.
	Kinds []schema.GroupVersionKind
	// Keys are its objects. Confined kinds are watched in the namespaces of their objects, too.
	Keys []manifest.Key
}

// Follow sets what to follow for an environment, instead of the last call. Watches start and stop as kinds come and go. The
// environment is requeued when a newly watched kind becomes known.
func (w *Watches) Follow(name string, f Following) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.environments[name]
	now := environment{namespace: f.Namespace, user: f.User, places: w.placesOf(f)}
	w.environments[name] = now
	for p := range now.places {
		k, ok := w.kinds[p]
		if !ok {
			k = newKind(w, p)
			w.kinds[p] = k
		}
		k.followers[name] = struct{}{}
		if !ok {
			k.start()
		} else if before.user != now.user {
			k.reopen()
		}
	}
	w.leave(name, before, now)
	add(w.residents, f.Namespace, name)
	w.retrack(name)
}

// KeepWhole keeps the objects of some kinds of an environment whole, so that expressions can judge them. That costs memory,
// and one listing for a kind that is already watched.
func (w *Watches) KeepWhole(kinds []schema.GroupKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, gk := range kinds {
		if k, ok := w.kinds[place{GroupKind: gk}]; ok {
			k.keepWhole()
		}
	}
}

// Resume ends the pauses of all watches that failed, because the cluster can be reached again.
func (w *Watches) Resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.kinds {
		k.retry()
	}
	for _, a := range w.attended {
		a.retry()
	}
}

// Forget ends what Follow started. The environment is not requeued any more.
func (w *Watches) Forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leave(name, w.environments[name], environment{})
	delete(w.environments, name)
	for _, a := range w.attended {
		a.leave(name)
	}
	w.retrack(name)
}

// leave ends the watches that an environment no longer needs.
func (w *Watches) leave(name string, before, now environment) {
	drop(w.residents, before.namespace, name)
	for p := range before.places {
		if _, ok := now.places[p]; !ok {
			w.kinds[p].unfollow(name)
		}
	}
}

// Wrote stores the result of a write of our own at once, so that no decision uses the old state. The watch's echo of it
// requeues nothing. An environment that lost the object to the writer is requeued.
func (w *Watches) Wrote(l observed.Object) {
	w.change(func(requeue requeues) {
		k, ok := w.kinds[w.placeOf(l.Key)]
		if !ok || w.graves.cover(l) {
			return
		}
		o, order := k.objects[nameOf(l.Key)], 1
		if o != nil {
			order = compare(l.ResourceVersion, o.live.ResourceVersion)
		}
		if order >= 0 {
			delete(w.held, o) // the echo may have been faster than the answer
		}
		if order > 0 {
			if o != nil && o.live.Environment != l.Environment {
				requeue.add(o.live.Environment)
			}
			k.store(object{live: l})
		}
	})
}
