package feedback

import (
	"context"
	"sync"

	"berth.dev/berth/internal/panics"
	"berth.dev/berth/source/forge"
)

// batch is the branches that are compared in one round. It ends at an error that all others would get, and after some errors in
// a row, because a forge that fails is not to be burdened. The others are tried at the retry.
type batch struct {
	*duty
	left, tried []string
	last        error
	inARow      int
	ended       bool
}

// next returns a branch that is not compared yet; false: there is none, or the batch ended.
func (b *batch) next() (string, bool) {
	if b.ended || len(b.left) == 0 {
		return "", false
	}
	name := b.left[0]
	b.left, b.tried = b.left[1:], append(b.tried, name)
	return name, true
}

// done takes note of the result of a branch. After an error that all would get, others do not count.
func (b *batch) done(name string, err error) {
	if err == nil {
		delete(b.failed, name)
		b.inARow = 0
		return
	}
	b.failed[name] = err
	b.inARow++
	if !forge.IsGeneral(b.last) {
		b.last = err
	}
	if !forge.IsGeneral(err) && b.inARow < giveUp {
		return
	}
	b.ended = true
	for _, left := range b.left {
		b.failed[left] = err
	}
}

// each compares branches, as many at a time as the forge allows requests, and returns those that it tried. One decides at a
// time: the others wait for answers. The pause before a retry begins when the last request ended, because a forge that takes
// long to fail gets its pause, too.
//
// A report that panics, such as because of a text of another program, fails like one that the forge refuses: it is retried with
// growing pauses, and the other branches are reported.
func (l *line) each(d *duty, names []string, compare func(name string) error) []string {
	if len(names) == 0 {
		return nil
	}
	b := &batch{duty: d, left: names}
	var workers sync.WaitGroup
	for range min(l.atOnce, len(names)) {
		workers.Go(func() {
			l.deciding.Lock()
			defer l.deciding.Unlock()
			for name, more := b.next(); more; name, more = b.next() {
				err := panics.Catch(func() error { return compare(name) })
				l.logPanic(err, "branch", name)
				b.done(name, err)
			}
		})
	}
	l.deciding.Unlock()
	workers.Wait()
	l.deciding.Lock()
	d.conclude(b.last, reachOf(b.last), l.Now(), l.Jitter())
	return b.tried
}

// unlocking is a Forge that releases a lock while it waits for an answer.
type unlocking struct {
	Forge
	lock sync.Locker
}

// wait releases the lock, and returns what takes it again.
func (u unlocking) wait() (end func()) {
	u.lock.Unlock()
	return u.lock.Lock
}

func (u unlocking) SetStatus(ctx context.Context, s forge.Status) (pipeline int64, err error) {
	defer u.wait()()
	return u.Forge.SetStatus(ctx, s)
}

func (u unlocking) MergeRequests(ctx context.Context) ([]forge.MergeRequest, error) {
	defer u.wait()()
	return u.Forge.MergeRequests(ctx)
}

func (u unlocking) Merge(ctx context.Context, m forge.MergeRequest) (forge.Merge, error) {
	defer u.wait()()
	return u.Forge.Merge(ctx, m)
}

func (u unlocking) PutNote(ctx context.Context, mergeRequest, id int64, marker, body string) (int64, error) {
	defer u.wait()()
	return u.Forge.PutNote(ctx, mergeRequest, id, marker, body)
}

func (u unlocking) SetDeployment(ctx context.Context, d forge.Deployment) (id int64, err error) {
	defer u.wait()()
	return u.Forge.SetDeployment(ctx, d)
}

func (u unlocking) EndDeployment(ctx context.Context, d forge.Deployment) error {
	defer u.wait()()
	return u.Forge.EndDeployment(ctx, d)
}
