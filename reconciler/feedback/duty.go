package feedback

import (
	"maps"
	"slices"
	"time"

	"berth.dev/berth/source/forge"
)

const (
	// firstRetry and lastRetry are the delays after the first and after many failures in a row.
	firstRetry, lastRetry = time.Second, 5 * time.Minute
	// longestWait is the longest time that a forge may make the agent wait.
	longestWait = time.Hour
	// giveUp is how many branches in a row may fail before the others are left for the retry.
	giveUp = 3
)

// duty is one of the two things that are reported, commit statuses and notes, with the branches to compare. A permission may
// lack for one and not for the other.
type duty struct {
	dirty map[string]bool
	// failed are the branches to retry, and why.
	failed   map[string]error
	failures int // in a row
	last     error
	retry    time.Time
	blocked  bool // nothing is tried before the retry
}

func newDuty() *duty { return &duty{dirty: map[string]bool{}, failed: map[string]error{}} }

// take returns the branches to compare now: those that changed, and then those to retry if it is time to. These begin with
// another one each time, because only some of them may be tried.
func (d *duty) take(now time.Time) []string {
	due := !now.Before(d.retry)
	if d.blocked && !due {
		return nil
	}
	names := slices.Sorted(maps.Keys(d.dirty))
	if failed := slices.Sorted(maps.Keys(d.failed)); due && len(failed) > 0 {
		from := d.failures % len(failed)
		for _, name := range slices.Concat(failed[from:], failed[:from]) {
			if !d.dirty[name] {
				names = append(names, name)
			}
		}
	}
	clear(d.dirty)
	return names
}

// reach says how many branches an error stops.
type reach string

const (
	someBranches reach = "some branches"
	allBranches  reach = "all branches"
)

func reachOf(err error) reach {
	if forge.IsGeneral(err) {
		return allBranches
	}
	return someBranches
}

// halt stops all branches because of an error of what they have in common. It returns the one whose failure it is counted as.
func (d *duty) halt(names []string, err error, now time.Time, jitter float64) []string {
	for _, name := range names {
		d.failed[name] = err
	}
	d.conclude(err, allBranches, now, jitter)
	return names[:min(1, len(names))]
}

// conclude schedules a retry after an error. Before that, other errors do not put it off.
func (d *duty) conclude(err error, stops reach, now time.Time, jitter float64) {
	switch {
	case err == nil && len(d.failed) == 0:
		d.failures, d.last, d.blocked, d.retry = 0, nil, false, time.Time{}
		return
	case err == nil, now.Before(d.retry) && stops != allBranches:
		return
	}
	d.failures++
	d.last, d.blocked = err, stops == allBranches
	wait := lastRetry
	if shift := d.failures - 1; shift < 16 {
		wait = min(firstRetry<<shift, lastRetry)
	}
	wait += time.Duration(jitter * float64(wait) / 4)
	if after := forge.WaitOf(err); after > 0 {
		wait = min(max(after, firstRetry), longestWait)
	}
	d.retry = now.Add(wait)
}

// next returns when there is something to do again without a new reason; zero: never.
func (d *duty) next() time.Time {
	if len(d.failed) > 0 || d.blocked {
		return d.retry
	}
	return time.Time{}
}

// trouble returns the error of the first failing branch, or what blocks all; nil: nothing.
func (d *duty) trouble() error {
	if len(d.failed) == 0 {
		return d.last
	}
	return d.failed[slices.Min(slices.Collect(maps.Keys(d.failed)))]
}

// earlier returns the earlier of two times. A zero time means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
