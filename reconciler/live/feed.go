package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"berth.dev/berth/internal/panics"
)

// The pauses between attempts: short at first, because a kind is often served a moment after its CRD is created; and
// bounded, so that a new grant takes effect soon.
const (
	firstPause  = 200 * time.Millisecond
	longPause   = time.Minute
	steadyAfter = time.Minute
)

var errSlow = errors.New("the API server did not deliver the list in time")

// sink receives the objects of a feed.
type sink[T any] interface {
	// put brings an object that is new or has changed.
	put(T)
	// remove receives the last state of an object that is gone or has lost its label.
	remove(T)
	// replace receives all objects at a resource version; since is when the request began.
	replace(all []T, resourceVersion string, since time.Time)
	// lost receives the error that ended an attempt. Earlier objects may be stale.
	lost(error)
}

// feed keeps one collection watched: it lists, watches, and starts over with growing pauses, until its context ends.
type feed[T any] struct {
	into sink[T]
	// open finds the collection, again for every attempt.
	open func() (*cache.ListWatch, error)
	// reduce reduces a new object to what is kept of it.
	reduce func(runtime.Object) T
	// cfg has the clock, the jitter, and how long a listing may take.
	cfg *Config
	// poke ends the pause between two attempts.
	poke chan struct{}
	// first is the first pause; 0: firstPause. delay is one before the first attempt.
	first, delay time.Duration
}

func (f feed[T]) run(ctx context.Context) {
	// The Reflector logs in its own way; what matters of its errors reaches the sink.
	ctx = klog.NewContext(ctx, logr.Discard())
	first := cmp.Or(f.first, firstPause)
	pause, how := first, streamed
	if f.delay > 0 && f.rest(ctx, f.delay) == ended {
		return
	}
	for {
		began := f.cfg.Clock.Now()
		err := f.tryAttempt(ctx, how)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f.into.lost(err)
		}
		// A server that does not know streamed lists may leave one without its end for ever.
		how = streamed
		if errors.Is(err, errSlow) {
			how = paged
		}
		if f.cfg.Clock.Since(began) > steadyAfter {
			pause = first
		}
		switch f.rest(ctx, pause) {
		case ended:
			return
		case poked:
			pause = first
		case rested:
			pause = min(2*pause, longPause)
		}
	}
}

// rest waits, with some jitter, until a pause is over, and returns how it ended.
func (f feed[T]) rest(ctx context.Context, pause time.Duration) wakening {
	select {
	case <-ctx.Done():
		return ended
	case <-f.poke:
		return poked
	case <-f.cfg.Clock.After(pause + time.Duration(float64(pause)*f.cfg.Jitter()/4)):
		return rested
	}
}

// wakening is how a pause ended.
type wakening int

const (
	rested wakening = iota
	poked
	ended
)

// listing is how a list is asked for.
type listing int

// The ways: as the beginning of a watch, or page by page.
const (
	streamed listing = iota
	paged
)

// tryAttempt makes an attempt that ends with an error if it panics, such as because of an object that another program wrote.
func (f feed[T]) tryAttempt(ctx context.Context, how listing) error {
	err := panics.Catch(func() error { return f.attempt(ctx, how) })
	if caught, ok := errors.AsType[*panics.Error](err); ok {
		f.cfg.Log.Error("watching a kind failed", "panic", caught.Cause, "stack", caught.Stack)
	}
	return err
}

// attempt lists and watches until that is no longer possible.
func (f feed[T]) attempt(ctx context.Context, how listing) error {
	source, err := f.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &session[T]{feed: f, began: f.cfg.Clock.Now()}
	slow := f.cfg.Clock.AfterFunc(f.cfg.SyncTimeout, func() {
		if !s.synced.Load() {
			cancel(errSlow)
		}
	})
	defer slow.Stop()
	reflector := cache.NewReflectorWithOptions(lister{source, how}, nil, s, cache.ReflectorOptions{Name: "berth"})
	err = reflector.ListAndWatchWithContext(ctx)
	return cmp.Or(context.Cause(ctx), err)
}

// lister tells the Reflector whether it may ask for a streamed list.
type lister struct {
	*cache.ListWatch
	how listing
}

// IsWatchListSemanticsUnSupported is the method that client-go calls to ask this.
func (l lister) IsWatchListSemanticsUnSupported() bool { return l.how != streamed }

// session is one attempt of a feed: the store that a Reflector fills.
type session[T any] struct {
	feed[T]
	began  time.Time
	synced atomic.Bool
}

// Transformer makes the Reflector keep only reduced objects even of a list that is not complete yet.
func (s *session[T]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return s.reduced(obj) }
}

func (s *session[T]) reduced(obj any) (item T, err error) {
	switch o := obj.(type) {
	case T:
		return o, nil
	case runtime.Object:
		return s.reduce(o), nil
	}
	return item, fmt.Errorf("a watch brought a %T, which is not an object", obj)
}

// Add takes in an object that a watch has brought.
func (s *session[T]) Add(obj any) error { return s.Update(obj) }

// Update takes in an object that a watch has brought.
func (s *session[T]) Update(obj any) error {
	item, err := s.reduced(obj)
	if err == nil {
		s.into.put(item)
	}
	return err
}

// Delete takes in that an object is gone.
func (s *session[T]) Delete(obj any) error {
	item, err := s.reduced(obj)
	if err == nil {
		s.into.remove(item)
	}
	return err
}

// Replace takes in a complete list.
func (s *session[T]) Replace(list []any, resourceVersion string) error {
	s.synced.Store(true)
	items := make([]T, 0, len(list))
	for _, obj := range list {
		item, err := s.reduced(obj)
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	s.into.replace(items, resourceVersion, s.began)
	return nil
}

// Resync has no meaning here.
func (s *session[T]) Resync() error { return nil }
