package secrets

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// Cache keeps decrypted files in memory, so that environments with the same file and keys decrypt it once. It is safe
// for concurrent use, and all Decrypters are meant to share it.
type Cache struct {
	limit int

	mu      sync.Mutex
	size    int
	byKey   map[cacheKey]*list.Element
	recency *list.List // of *cached, the most recently used first
	waiting map[cacheKey]*call
	stats   Stats
}

// Stats counts the requests to a Cache.
type Stats struct {
	// Hits and Misses count the files that were cached, and those that were decrypted.
	Hits, Misses int
	// Bytes is the current size of the cached plain text.
	Bytes int
}

type cacheKey [32]byte

type cached struct {
	key   cacheKey
	plain Plain
}

// call is a running decryption that other callers can wait for.
type call struct {
	done  chan struct{}
	plain Plain
	err   error
}

// DefaultCacheBytes is enough for thousands of Secrets.
const DefaultCacheBytes = 8 << 20

// NewCache returns a Cache that keeps at most the given number of bytes of plain text (0: DefaultCacheBytes).
func NewCache(bytes int) *Cache {
	if bytes == 0 {
		bytes = DefaultCacheBytes
	}
	return &Cache{limit: bytes, byKey: map[cacheKey]*list.Element{}, recency: list.New(), waiting: map[cacheKey]*call{}}
}

// Stats returns the counts so far.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.Bytes = c.size
	return stats
}

// get returns the plain text for a key, and calls open if it is not cached. Concurrent callers share that result,
// unless the caller that opens gives up. Errors are not cached.
func (c *Cache) get(ctx context.Context, key cacheKey, open func() (Plain, error)) (Plain, error) {
	for {
		mine, other, plain := c.look(key)
		switch {
		case mine != nil:
			mine.plain, mine.err = open()
			c.settle(key, mine)
			return mine.plain, mine.err
		case other == nil:
			return plain, nil
		}
		select {
		case <-ctx.Done():
			return Plain{}, ctx.Err()
		case <-other.done:
		}
		if !errors.Is(other.err, context.Canceled) && !errors.Is(other.err, context.DeadlineExceeded) {
			return other.plain, other.err
		}
	}
}

// look returns a call to make, a call to wait for, or the cached plain text.
func (c *Cache) look(key cacheKey) (mine, other *call, kept Plain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byKey[key]; ok {
		c.recency.MoveToFront(element)
		c.stats.Hits++
		return nil, nil, element.Value.(*cached).plain
	}
	if other, ok := c.waiting[key]; ok {
		c.stats.Hits++
		return nil, other, Plain{}
	}
	mine = &call{done: make(chan struct{})}
	c.waiting[key] = mine
	c.stats.Misses++
	return mine, nil, Plain{}
}

// settle ends a call.
func (c *Cache) settle(key cacheKey, mine *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, key)
	close(mine.done)
	if mine.err == nil {
		c.keep(key, mine.plain)
	}
}

func (c *Cache) keep(key cacheKey, plain Plain) {
	if plain.size() > c.limit {
		return
	}
	c.byKey[key] = c.recency.PushFront(&cached{key, plain})
	for c.size += plain.size(); c.size > c.limit; {
		oldest := c.recency.Remove(c.recency.Back()).(*cached)
		delete(c.byKey, oldest.key)
		c.size -= oldest.plain.size()
	}
}
