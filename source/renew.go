package source

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"berth.dev/berth/internal/panics"
)

// The store's folders within Config.Dir: the one in use, and those that exist while it is replaced.
const (
	storeName = "git"
	newName   = "git.new"
	oldName   = "git.old"
)

// openStore opens the store in use, and finishes or undoes a replacement that was interrupted.
func (r *Repository) openStore() error {
	current, old := filepath.Join(r.dir, storeName), filepath.Join(r.dir, oldName)
	if _, err := os.Stat(current); errors.Is(err, os.ErrNotExist) {
		if err := os.Rename(old, current); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(old), os.RemoveAll(filepath.Join(r.dir, newName))); err != nil {
		return err
	}
	s, err := openStore(current)
	if err != nil { // the content there is not a store
		if err := os.RemoveAll(current); err != nil {
			return err
		}
		if s, err = openStore(current); err != nil {
			return err
		}
	}
	r.store = s
	return nil
}

// startOver replaces the store by an empty one.
func (r *Repository) startOver() error {
	r.swap.Lock()
	defer r.swap.Unlock()
	current := filepath.Join(r.dir, storeName)
	if err := errors.Join(r.store.close(), os.RemoveAll(current)); err != nil {
		return err
	}
	s, err := openStore(current)
	if err != nil {
		return err
	}
	r.store = s
	return nil
}

// Renew replaces the store by a fresh one, because a store only grows. The new store has those of the given commits
// that the old one has. It makes no requests to the server, which may not send every commit a second time. Snapshots of
// the kept commits stay readable at any moment; those of other commits end.
func (r *Repository) Renew(ctx context.Context, keep []string) error {
	return r.alone(ctx, func() error {
		fresh, err := r.copyStore(ctx, keep)
		var before *store
		if err == nil {
			before, err = r.replaceStore(fresh)
		}
		if err != nil {
			if isCorrupt(err) {
				r.store.distrust()
			}
			return r.storeTrouble(errors.Join(err, os.RemoveAll(filepath.Join(r.dir, newName))))
		}
		// No reader uses the old store any more, and no reader waits until its files are removed.
		return r.storeTrouble(errors.Join(before.close(), os.RemoveAll(filepath.Join(r.dir, oldName))))
	})
}

// copyStore makes a new store beside the one in use.
func (r *Repository) copyStore(ctx context.Context, keep []string) (*store, error) {
	dir := filepath.Join(r.dir, newName)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	fresh, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	missing, err := r.missing(ctx, keep)
	if err != nil {
		return nil, err
	}
	keep = slices.DeleteFunc(slices.Clone(keep), func(id string) bool { return slices.Contains(missing, id) })
	if len(keep) == 0 {
		return fresh, nil
	}
	pack, out := io.Pipe()
	panicked := make(chan error, 1)
	go func() {
		panicked <- panics.Catch(func() error {
			var err error
			defer func() { _ = out.CloseWithError(err) }()
			err = r.store.repack(ctx, keep, r.budget, out)
			return nil
		})
	}()
	in := r.intake()
	in.limits.FetchBytes = maxStored // stored commits were within the limits when they were fetched
	in.count = nil
	err = fresh.add(ctx, pack, in)
	_ = pack.Close()         // ends the writer if the reader gave up
	panics.Again(<-panicked) // which the caller's controller survives
	if err != nil {
		return nil, err
	}
	for _, id := range keep {
		if err := fresh.verify(ctx, id); err != nil {
			return nil, err
		}
	}
	return fresh, fresh.hold(keep)
}

// replaceStore replaces the old store by a complete new one, and returns the old one.
func (r *Repository) replaceStore(fresh *store) (before *store, err error) {
	r.swap.Lock()
	defer r.swap.Unlock()
	current, old := filepath.Join(r.dir, storeName), filepath.Join(r.dir, oldName)
	if err := os.Rename(current, old); err != nil {
		return nil, err
	}
	if err := fresh.move(current); err != nil {
		return nil, errors.Join(err, os.Rename(old, current))
	}
	before, r.store = r.store, fresh
	return before, nil
}

// Packs returns the number of packs in the store. Every fetch adds one, and reading slows down with hundreds of them.
// [Repository.Renew] reduces them to one.
func (r *Repository) Packs() (int, error) {
	r.swap.RLock()
	defer r.swap.RUnlock()
	packs, err := filepath.Glob(filepath.Join(r.store.packDir(), "pack-*.pack"))
	return len(packs), err
}
