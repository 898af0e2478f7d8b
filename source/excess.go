package source

import (
	"context"
	"errors"
	"slices"
	"time"
)

// excess is a commit that exceeded a limit.
type excess struct {
	err   error
	until time.Time
}

// excessPause is how long such a commit is not fetched again: each attempt would use all that the limits allow, at
// every poll.
const excessPause = 10 * time.Minute

func (r *Repository) remember(id string, err error) {
	if ReasonOf(err) != TooLarge {
		return
	}
	pause := excessPause
	if errors.Is(err, context.DeadlineExceeded) { // a server may have been slow once
		pause = min(pause, 2*r.limits.FetchTimeout)
	}
	r.tooLarge[id] = excess{err: err, until: r.now().Add(pause)}
}

// withoutTooLarge leaves out the commits that are known to exceed a limit, and returns what is known.
func (r *Repository) withoutTooLarge(commits []string) (rest []string, known []error) {
	for id, e := range r.tooLarge {
		switch {
		case !r.now().Before(e.until):
			delete(r.tooLarge, id)
		case slices.Contains(commits, id):
			known = append(known, e.err)
		}
	}
	return slices.DeleteFunc(commits, func(id string) bool { _, found := r.tooLarge[id]; return found }), known
}
