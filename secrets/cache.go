package secrets

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/singleflight"
)

// Cache keeps decrypted files in memory, so that environments with the same file and keys decrypt it once. It is safe
// for concurrent use, and all Decrypters are meant to share it. It is bounded by bytes: LRU libraries bound the number of
// entries, and files differ in size by a factor of a thousand.
type Cache struct {
	limit int
	calls singleflight.Group

	mu      sync.Mutex
	size    int
	byKey   map[cacheKey]*list.Element
	recency *list.List // of *cached, the most recently used first
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

// DefaultCacheBytes is enough for thousands of Secrets.
const DefaultCacheBytes = 8 << 20

// NewCache returns a Cache that keeps at most the given number of bytes of plain text (0: DefaultCacheBytes).
func NewCache(bytes int) *Cache {
	if bytes == 0 {
		bytes = DefaultCacheBytes
	}
	return &Cache{limit: bytes, byKey: map[cacheKey]*list.Element{}, recency: list.New()}
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
		if plain, ok := c.look(key); ok {
			return plain, nil
		}
		mine := false
		opened := c.calls.DoChan(string(key[:]), func() (any, error) {
			mine = true
			return c.open(key, open)
		})
		select {
		case <-ctx.Done():
			return Plain{}, ctx.Err()
		case result := <-opened:
			gaveUp := errors.Is(result.Err, context.Canceled) || errors.Is(result.Err, context.DeadlineExceeded)
			if !mine && gaveUp {
				continue
			}
			if !mine {
				c.count(func(s *Stats) { s.Hits++ })
			}
			return result.Val.(Plain), result.Err
		}
	}
}

// open opens and keeps a file, unless another call has just done that.
func (c *Cache) open(key cacheKey, open func() (Plain, error)) (Plain, error) {
	if plain, ok := c.look(key); ok {
		return plain, nil
	}
	c.count(func(s *Stats) { s.Misses++ })
	plain, err := open()
	if err == nil {
		c.keep(key, plain)
	}
	return plain, err
}

// look returns the plain text if it is cached.
func (c *Cache) look(key cacheKey) (Plain, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.byKey[key]
	if !ok {
		return Plain{}, false
	}
	c.recency.MoveToFront(element)
	c.stats.Hits++
	return element.Value.(*cached).plain, true
}

func (c *Cache) count(what func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what(&c.stats)
}

// keep caches a plain text, and drops those that were not used for the longest time.
func (c *Cache) keep(key cacheKey, plain Plain) {
	if plain.size() > c.limit {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byKey[key] = c.recency.PushFront(&cached{key, plain})
	for c.size += plain.size(); c.size > c.limit; {
		oldest := c.recency.Remove(c.recency.Back()).(*cached)
		delete(c.byKey, oldest.key)
		c.size -= oldest.plain.size()
	}
}
