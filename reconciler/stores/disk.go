package stores

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// DefaultBytes is the default limit of all Git stores together. It leaves room in the 4 GiB volume of deploy/, because a
// renewed store exists twice for a moment.
const DefaultBytes = 3 << 30

// idleStore is how long a store must be unused before it may be emptied to make room.
const idleStore = time.Hour

// disk limits the disk space of the stores: the kubelet evicts an agent whose volume is too large, which stops all
// repositories.
type disk struct {
	dir   string
	most  int64
	now   func() time.Time
	begun time.Time

	mu    sync.Mutex
	taken map[string]int64     // by the name of the folder
	used  map[string]time.Time // when a store was last used
}

func newDisk(dir string, most int64, now func() time.Time) *disk {
	if most <= 0 {
		most = DefaultBytes
	}
	if now == nil {
		now = time.Now
	}
	d := &disk{dir: dir, most: most, now: now, begun: now(), taken: map[string]int64{}, used: map[string]time.Time{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return d // it is created with the first store
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue // not a store
		}
		d.taken[entry.Name()] = sizeOf(filepath.Join(dir, entry.Name()))
	}
	return d
}

// use records that a store is used.
func (d *disk) use(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used[name] = d.now()
}

// measure updates the size of a store.
func (d *disk) measure(name string) {
	size := sizeOf(filepath.Join(d.dir, name))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken[name] = size
	if size == 0 {
		delete(d.taken, name)
	}
}

// take reserves bytes for a store, or returns an error if there is no room. The last quarter is for stores below their
// share, and one share is kept for a future repository, so that a large repository never blocks the fetch of a small one.
func (d *disk) take(name string, bytes int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken[name] += 0 // it counts from now on
	most, share := d.most, d.most/int64(len(d.taken)+1)
	if d.taken[name]+bytes > share {
		most = d.most - d.most/4
	}
	if total := d.total(); total+bytes > most {
		return &noRoom{store: name, has: d.taken[name], total: total, most: d.most}
	}
	d.taken[name] += bytes
	return nil
}

func (d *disk) total() (bytes int64) {
	for _, taken := range d.taken {
		bytes += taken
	}
	return bytes
}

// idle returns the store that has been unused for the longest time, of those that were not tried; empty if none is idle.
func (d *disk) idle(tried map[string]bool) (name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	oldest := d.now().Add(-idleStore)
	for store := range d.taken {
		used := d.used[store]
		if used.IsZero() {
			used = d.begun
		}
		if used.Before(oldest) && !tried[store] {
			name, oldest = store, used
		}
	}
	return name
}

// ofMergeRequests returns the largest store with what merge requests brought, of those that were not tried; empty if there is
// none.
func (d *disk) ofMergeRequests(tried map[string]bool) (name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for store, taken := range d.taken {
		if isForMergeRequests(store) && !tried[store] && (name == "" || taken > d.taken[name]) {
			name = store
		}
	}
	return name
}

// noRoom reports that the stores are full.
type noRoom struct {
	store            string
	has, total, most int64
}

func (e *noRoom) Error() string {
	return fmt.Sprintf("there is no room for it: the Git stores of all repositories have %d of %d MiB, %d of them for %s",
		e.total>>20, e.most>>20, e.has>>20, e.store)
}
