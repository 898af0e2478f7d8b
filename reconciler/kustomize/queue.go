package kustomize

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue bounds how many builds run at once, and decides which is next. A semaphore would let them in in the order of arrival.
type queue struct {
	mu     sync.Mutex
	places int
	// running counts all running builds, others those that are not urgent.
	running, others int
	owners          map[string]int // running builds that are not urgent, by owner
	waiting         []*waiter      // in the order of arrival
	// spent is how long the builds of each owner took since the queue was last empty.
	spent map[string]time.Duration
}

// waiter is a build that waits for a slot.
type waiter struct {
	Request
	turn chan struct{} // closed when the build may begin
}

func newQueue(places int) *queue {
	return &queue{places: places, owners: map[string]int{}, spent: map[string]time.Duration{}}
}

// enter waits for a slot, which done releases.
func (q *queue) enter(ctx context.Context, r Request) (done func(), err error) {
	w := &waiter{Request: r, turn: make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, w)
	q.admit()
	q.mu.Unlock()
	select {
	case <-w.turn:
	case <-ctx.Done():
		if q.gaveUp(w) {
			return nil, ctx.Err()
		}
	}
	begun := time.Now()
	return func() { q.leave(w, time.Since(begun)) }, nil
}

// gaveUp removes a waiting build; it returns false if the build got a slot meanwhile.
func (q *queue) gaveUp(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, w)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	return i >= 0
}

func (q *queue) leave(w *waiter, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	if !w.Urgent {
		q.others--
		q.owners[w.Owner]--
	}
	q.spent[w.Owner] += took
	if len(q.waiting) == 0 {
		clear(q.spent)
	}
	if q.running == 0 {
		clear(q.owners)
	}
	q.admit()
}

// admit gives free slots to the next builds.
func (q *queue) admit() {
	for q.running < q.places {
		i := q.next()
		if i < 0 {
			return
		}
		w := q.waiting[i]
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.running++
		if !w.Urgent {
			q.others++
			q.owners[w.Owner]++
		}
		close(w.turn)
	}
}

// next returns the index of the build that runs next: an urgent one, then one of the owner whose builds took the
// least time, then the one that came first. It is -1 if none may begin.
func (q *queue) next() int {
	first := -1
	for i, w := range q.waiting {
		if q.mayBegin(w) && (first < 0 || q.before(w, q.waiting[first])) {
			first = i
		}
	}
	return first
}

func (q *queue) before(a, b *waiter) bool {
	return a.Urgent && !b.Urgent || a.Urgent == b.Urgent && q.spent[a.Owner] < q.spent[b.Owner]
}

// mayBegin reports whether a build that is not urgent leaves the last slot free, and, where there are more, one for
// another owner.
func (q *queue) mayBegin(w *waiter) bool {
	switch {
	case w.Urgent:
		return true
	case q.others > 0 && q.others >= q.places-1:
		return false
	}
	return q.places <= 2 || q.owners[w.Owner] == 0
}
