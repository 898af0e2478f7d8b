package webhook

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// memory is how long a signed delivery can be sent again: from tolerance before its timestamp until
	// tolerance after it.
	memory = 2 * tolerance
	// maxRemembered bounds each generation. Beyond it a delivery may be accepted twice, which costs a listing.
	maxRemembered = 4096
)

// replays remembers the ids of signed deliveries for at least memory, in two generations. The older one is forgotten
// as a whole. The zero value is ready.
type replays struct {
	mu           sync.Mutex
	newer, older map[[sha256.Size]byte]struct{}
	newerSince   time.Time
}

// repeated reports whether a delivery was seen before, and remembers it.
func (r *replays) repeated(repository, id string, now time.Time) bool {
	key := sha256.Sum256([]byte(repository + "/" + id))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newer == nil || len(r.newer) >= maxRemembered || now.Sub(r.newerSince) >= memory {
		r.newer, r.older, r.newerSince = map[[sha256.Size]byte]struct{}{}, r.newer, now
	}
	_, inNewer := r.newer[key]
	_, inOlder := r.older[key]
	r.newer[key] = struct{}{}
	return inNewer || inOlder
}
