package world

import (
	"errors"
	"time"
)

// patience is how long an expected event may take on a loaded machine. It usually happens much sooner; only a failing
// test waits this long.
const patience = 2 * time.Minute

// interval is the time between looks. The control plane is on this machine and has nothing else to do.
const interval = 40 * time.Millisecond

// errImpatient is the cause of a wait that was too long.
var errImpatient = errors.New("waited too long")

// Await calls look repeatedly until it returns true, and fails with what look saw last.
func Await(t Reporter, what string, look func() (saw string, content bool)) {
	t.Helper()
	AwaitFor(t, patience, what, look)
}

// slow is a Reporter for a cluster that is slower than the one on this machine.
type slow interface{ Patience() time.Duration }

// AwaitFor is Await with a given limit.
func AwaitFor(t Reporter, limit time.Duration, what string, look func() (saw string, content bool)) {
	t.Helper()
	if s, ok := t.(slow); ok {
		limit = max(limit, s.Patience())
	}
	deadline, ticker := time.NewTimer(limit), time.NewTicker(interval)
	defer deadline.Stop()
	defer ticker.Stop()
	for {
		saw, content := look()
		if content {
			return
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatalf("%s: %v; last seen: %s", what, t.Context().Err(), saw)
		case <-deadline.C:
			t.Fatalf("%s: %v (%s); last seen: %s", what, errImpatient, limit, saw)
		}
	}
}

// AwaitSignal waits until a channel is closed, or has a value.
func AwaitSignal[T any](t Reporter, what string, signal <-chan T) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case <-signal:
	case <-deadline.C:
		t.Fatalf("%s: %v (%s)", what, errImpatient, patience)
	}
}

// Always calls look repeatedly for a while, and fails as soon as it returns false. It checks that something does not
// happen.
func Always(t Reporter, during time.Duration, what string, look func() (saw string, content bool)) {
	t.Helper()
	over, ticker := time.NewTimer(during), time.NewTicker(interval)
	defer over.Stop()
	defer ticker.Stop()
	for {
		if saw, content := look(); !content {
			t.Fatalf("it is not always so that %s: %s", what, saw)
		}
		select {
		case <-ticker.C:
		case <-over.C:
			return
		}
	}
}
