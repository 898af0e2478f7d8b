// Package live knows what is in the cluster, and what drifted: it keeps the watches, reduces what they
// bring on arrival, and says at any time, without a request, what is known of an environment.
package live

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// Config is what Watches need.
type Config struct {
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
	// Mapper finds where kinds are served. A kind that it does not find is asked for again and again, so
	// a mapper that remembers must look anew when asked for what it does not know.
	Mapper meta.RESTMapper
	// Wake is called with the label value of an environment for which something of interest has changed,
	// or of whose kinds one has become known or unknown. It is called from many goroutines and must not
	// block; calls come in bursts. nil: nobody is woken.
	Wake func(environment string)
	// Log gets a line when a kind cannot be watched. nil: silent.
	Log *slog.Logger
	// Clock tells the time and waits. nil: the real one.
	Clock clock.WithDelayedExecution
	// Jitter returns a number in [0, 1) that spreads attempts to watch again. nil: they are not spread.
	Jitter func() float64
	// SyncTimeout is how long an initial listing may take; one that takes longer is reported as
	// observed.Unwatched and tried again. 0: 30 s.
	SyncTimeout time.Duration
}

// Watches keep one watch for each kind that any environment is made of, and know all objects that bear
// an environment's label. Their methods may be called from any goroutine, before and while they run.
type Watches struct {
	cfg Config

	// mu guards everything below and whatever hangs on it. It is held for the changing of values only,
	// never while anything is waited for.
	mu           sync.Mutex
	run          context.Context // nil before Run and after
	running      sync.WaitGroup
	environments map[string]environment
	// residents has the environments that live in a namespace.
	residents map[string]set[string]
	kinds     map[schema.GroupKind]*kind
	// members has the objects that bear an environment's label.
	members map[string]set[*object]
	// claimants has the environments in whose places something is that is not theirs.
	claimants map[manifest.Key]set[string]
	// held has the wakes that wait for the answer to a write of our own.
	held   map[*object]*hold
	graves graves
	// attended has the single objects that environments wait for.
	attended map[manifest.Key]*attended
	rollouts
}

// environment is what Follow said of one.
type environment struct {
	namespace string
	kinds     set[schema.GroupKind]
}

type set[T comparable] = map[T]struct{}

// namespaceKind is always watched, and whole: whatever a namespace is called and whoever made it, an
// environment may have to live in it.
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
	if cfg.Wake == nil {
		cfg.Wake = func(string) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watches{
		cfg:          cfg,
		environments: map[string]environment{},
		residents:    map[string]set[string]{},
		kinds:        map[schema.GroupKind]*kind{},
		members:      map[string]set[*object]{},
		claimants:    map[manifest.Key]set[string]{},
		held:         map[*object]*hold{},
		graves:       graves{of: map[types.UID]grave{}},
		attended:     map[manifest.Key]*attended{},
		rollouts:     newRollouts(),
	}
	w.kinds[namespaceKind] = newKind(w, namespaceKind)
	return w
}

// Run watches until the context ends, and returns once everything that it began has ended too.
func (w *Watches) Run(ctx context.Context) error {
	w.mu.Lock()
	w.run = ctx
	for _, k := range w.kinds {
		k.start()
	}
	w.mu.Unlock()

	<-ctx.Done()
	w.mu.Lock()
	w.run = nil // nothing begins any more
	w.mu.Unlock()
	w.running.Wait()
	return nil
}

// begin runs f until the returned function is called or Run ends. Unless Run runs it does nothing.
func (w *Watches) begin(f func(context.Context)) context.CancelFunc {
	if w.run == nil || w.run.Err() != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(w.run)
	w.running.Go(func() { f(ctx) })
	return cancel
}

// later runs f, under the lock, when the time has passed.
func (w *Watches) later(d time.Duration, f func(wakes)) {
	w.cfg.Clock.AfterFunc(d, func() { w.change(f) })
}

// wakes are the environments to be woken.
type wakes set[string]

func (s wakes) add(environment string) {
	if environment != "" {
		s[environment] = struct{}{}
	}
}

func (s wakes) addAll(others wakes) {
	for e := range others {
		s.add(e)
	}
}

// change runs f under the lock, and wakes afterwards whom f named.
func (w *Watches) change(f func(wakes)) {
	for e := range w.changed(f) {
		w.cfg.Wake(e)
	}
}

func (w *Watches) changed(f func(wakes)) wakes {
	w.mu.Lock()
	defer w.mu.Unlock()
	woken := wakes{}
	f(woken)
	for e := range woken {
		if _, followed := w.environments[e]; !followed {
			delete(woken, e)
		}
	}
	return woken
}

// Follow says where an environment lives and which kinds it is made of, in place of what was said of
// it before. Watches begin and end as kinds come and go; the environment is woken as those that were
// not watched yet become known.
func (w *Watches) Follow(name, namespace string, kinds []schema.GroupVersionKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.environments[name]
	now := environment{namespace: namespace, kinds: set[schema.GroupKind]{}}
	for _, gvk := range kinds {
		gk := gvk.GroupKind()
		now.kinds[gk] = struct{}{}
		k, ok := w.kinds[gk]
		if !ok {
			k = newKind(w, gk)
			w.kinds[gk] = k
		}
		k.followers[name] = struct{}{}
		if !ok {
			k.start()
		}
	}
	w.leave(name, before, now)
	w.environments[name] = now
	add(w.residents, namespace, name)
	w.retrack(name)
}

// KeepWhole has the objects of some kinds that an environment follows kept whole, for expressions to judge.
// That costs memory, and a kind that is watched already one listing.
func (w *Watches) KeepWhole(kinds []schema.GroupKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, gk := range kinds {
		if k, ok := w.kinds[gk]; ok {
			k.keepWhole()
		}
	}
}

// Forget ends what Follow began. The environment is not woken any more.
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

// leave ends what is not wanted for an environment any more.
func (w *Watches) leave(name string, before, now environment) {
	drop(w.residents, before.namespace, name)
	for gk := range before.kinds {
		if _, ok := now.kinds[gk]; !ok {
			w.kinds[gk].unfollow(name)
		}
	}
}

// Wrote brings in at once what a write of our own made of an object, so that nothing acts on what was
// there before. The watch's echo of it wakes nobody; who lost the object to the one that wrote it is woken.
func (w *Watches) Wrote(l observed.Object) {
	w.change(func(wake wakes) {
		k, ok := w.kinds[l.Key.GroupKind()]
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
				wake.add(o.live.Environment)
			}
			k.store(object{live: l})
		}
	})
}
