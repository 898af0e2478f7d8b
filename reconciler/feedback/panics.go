package feedback

import (
	"context"
	"errors"
	"time"

	"berth.dev/berth/internal/panics"
)

// tryRound makes a round, and reports whether it ended without a panic. After a panic nothing is known any more, so the next
// round begins like that of a new agent.
func (l *line) tryRound(ctx context.Context) (next time.Time, whole bool) {
	l.deciding.Lock()
	defer l.deciding.Unlock()
	err := panics.Catch(func() error {
		next = l.round(ctx)
		return nil
	})
	if err == nil {
		return next, true
	}
	l.logPanic(err)
	l.reset()
	return l.Now().Add(lastRetry), false
}

// logPanic logs where a report panicked, if it did.
func (l *line) logPanic(err error, about ...any) {
	if caught, ok := errors.AsType[*panics.Error](err); ok {
		l.Log.Error("reporting to the forge failed", append(about, "repository", l.repo.Name, "panic", caught.Cause, "stack", caught.Stack)...)
	}
}
