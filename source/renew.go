package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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
	if err != nil { // whatever lies there is not a store
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

// Renew replaces the store by a fresh one that holds only the given commits, since a store only grows. Until they all
// are there the old one stays in use, and it stays if they cannot be had. Snapshots of the kept commits stay readable.
func (r *Repository) Renew(ctx context.Context, keep []string) error {
	return r.alone(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, r.limits.FetchTimeout)
		defer cancel()
		fresh := filepath.Join(r.dir, newName)
		if err := os.RemoveAll(fresh); err != nil {
			return r.storeTrouble(err)
		}
		s, err := openStore(fresh)
		if err != nil {
			return r.storeTrouble(err)
		}
		if len(keep) > 0 {
			if err := r.bring(ctx, s, keep); err != nil {
				return errors.Join(r.explain(keep, err), s.close(), os.RemoveAll(fresh))
			}
		}
		if err := r.replaceStore(s); err != nil {
			return r.storeTrouble(err)
		}
		return nil
	})
}

// replaceStore puts a complete new store in the place of the old one.
func (r *Repository) replaceStore(fresh *store) error {
	r.swap.Lock()
	defer r.swap.Unlock()
	current, old := filepath.Join(r.dir, storeName), filepath.Join(r.dir, oldName)
	if err := os.Rename(current, old); err != nil {
		return err
	}
	if err := fresh.move(current); err != nil {
		return errors.Join(err, os.Rename(old, current))
	}
	before := r.store
	r.store = fresh
	return errors.Join(before.close(), os.RemoveAll(old))
}

// Packs says how many packs the store consists of: every fetch adds one, and reading slows down with hundreds of them.
// [Repository.Renew] brings it back to one.
func (r *Repository) Packs() (int, error) {
	r.swap.RLock()
	defer r.swap.RUnlock()
	packs, err := filepath.Glob(filepath.Join(r.store.packDir(), "pack-*.pack"))
	return len(packs), err
}
