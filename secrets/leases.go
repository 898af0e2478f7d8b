package secrets

import (
	"errors"
	"sync"
	"time"
)

const (
	// leaseMargin is how long before its end a credential is no longer used: a call that begins in time
	// shall not end too late.
	leaseMargin = time.Minute
	// maxLease bounds for how long a credential is used whatever its service says, since who it belongs to
	// may lose the right to it.
	maxLease = time.Hour
)

// leases keep credentials that are good for a while. Whoever asks while one is being fetched gets that one.
// What could not be fetched is not kept.
type leases[T any] struct {
	mu   sync.Mutex
	held map[string]*lease[T]
}

type lease[T any] struct {
	done  chan struct{}
	value T
	until time.Time
	err   error
}

func (l *lease[T]) over(now time.Time) bool {
	select {
	case <-l.done:
		return l.err != nil || !now.Before(l.until)
	default:
		return false // it is being fetched
	}
}

// get returns the credential of a name. The time that fetch returns is its end.
func (l *leases[T]) get(name string, now time.Time, fetch func() (T, time.Time, error)) (T, error) {
	l.mu.Lock()
	held, ok := l.held[name]
	if ok && !held.over(now) {
		l.mu.Unlock()
		<-held.done
		return held.value, held.err
	}
	mine := &lease[T]{done: make(chan struct{}), err: errors.New("it could not be asked")}
	if l.held == nil {
		l.held = map[string]*lease[T]{}
	}
	l.held[name] = mine
	l.mu.Unlock()

	defer close(mine.done) // also if fetch panics: the others would wait for ever
	value, end, err := fetch()
	mine.value, mine.err = value, err
	mine.until = end.Add(-leaseMargin)
	if latest := now.Add(maxLease); mine.until.After(latest) {
		mine.until = latest
	}
	return value, err
}

// forget drops all that is held: a service may take a credential back before its end.
func (l *leases[T]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.held)
}
