package report

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lateness is the maximum delay of a cache. Writes before that are forgotten.
const lateness = 10 * time.Minute

// writes are the last status writes, by object, until the cache has them. Without them, decisions would use the status
// before the write: the same would be reported again, and a report could not be withdrawn.
type writes[S any] struct {
	mu   sync.Mutex
	last map[types.UID]write[S]
}

// write is a status write. status is nil once the cache has it.
type write[S any] struct {
	at      time.Time
	version string
	status  *S
}

// unseen returns the status that was written after the cached version, or nil.
func (w *writes[S]) unseen(o client.Object) *S {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.last[o.GetUID()]
	if !ok || last.status == nil {
		return nil
	}
	if order, err := resourceversion.CompareResourceVersion(o.GetResourceVersion(), last.version); err == nil && order < 0 {
		return last.status
	}
	last.status = nil
	w.last[o.GetUID()] = last
	return nil
}

// wrote records a write; the status must not be changed afterwards.
func (w *writes[S]) wrote(o client.Object, status *S, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = map[types.UID]write[S]{}
	}
	for uid, last := range w.last {
		if age := now.Sub(last.at); age > lateness || last.status == nil && age > pause {
			delete(w.last, uid)
		}
	}
	w.last[o.GetUID()] = write[S]{at: now, version: o.GetResourceVersion(), status: status}
}

// since returns how long ago an object's status was last written. If that is not known, the result is much longer than
// any pause.
func (w *writes[S]) since(uid types.UID, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last, ok := w.last[uid]; ok {
		return now.Sub(last.at)
	}
	return lateness
}
