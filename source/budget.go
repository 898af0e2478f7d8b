package source

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the memory that all repositories of a process use together while they unpack fetched packs. Its zero
// value is not usable: use [NewBudget].
//
// Small fetches have a part of their own, so that a large or hostile repository delays only other large ones.
type Budget struct {
	small, large *semaphore.Weighted
	capacity     int64 // of large
}

// DefaultBudget fits a memory limit of 512 MiB, with room for the rest of the agent.
const DefaultBudget = 256 << 20

// smallFetch is the most memory that a fetch may need to count as small.
const smallFetch = 4 << 20

// NewBudget returns a budget of the given bytes. It reserves a quarter for small fetches.
func NewBudget(bytes int64) *Budget {
	small := max(bytes/4, smallFetch)
	large := max(bytes-small, smallFetch)
	return &Budget{small: semaphore.NewWeighted(small), large: semaphore.NewWeighted(large), capacity: large}
}

// take waits until the given bytes are free. A fetch that needs more than the whole budget waits until it is alone.
func (b *Budget) take(ctx context.Context, bytes int64) (release func(), err error) {
	if b == nil {
		return func() {}, nil
	}
	lane := b.large
	if bytes <= smallFetch {
		lane = b.small
	}
	bytes = min(bytes, b.capacity)
	if err := lane.Acquire(ctx, bytes); err != nil {
		return nil, &fault{reason: Unreachable, cause: "other large fetches left no memory for this one in time",
			hint: "raise --git-memory, and with it the agent's memory limit", err: err}
	}
	return func() { lane.Release(bytes) }, nil
}

// holds refuses a pack whose objects could not even be counted within the budget.
func (b *Budget) holds(objects int64) error {
	if need := objects * objectCost; b != nil && need > b.capacity {
		return &fault{reason: TooLarge,
			cause: fmt.Sprintf("the commit has %d objects, and indexing them takes about %d MiB of memory", objects, need>>20),
			hint:  "raise --git-memory, and with it the agent's memory limit"}
	}
	return nil
}
