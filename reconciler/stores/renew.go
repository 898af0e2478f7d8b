package stores

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"

	"berth.dev/berth/source"
)

// A store only grows. It is renewed when it has renewPacks packs, or when it has renewBytes and twice the size that it
// had after its last renewal.
const (
	renewPacks = 64
	renewBytes = 256 << 20
)

// RenewIfGrown renews a store that has grown, and reports whether it did.
func (s *Set) RenewIfGrown(ctx context.Context, repository string, keep []string) (bool, error) {
	st := s.get(repository)
	if st == nil {
		return false, nil
	}
	packs, err := st.Packs()
	if err != nil {
		return false, err
	}
	s.disk.measure(repository)
	if !grown(packs, sizeOf(st.config.Dir), st.size) {
		return false, nil
	}
	return s.Renew(ctx, repository, keep)
}

// Renew replaces the content of a store by the commits to keep, and reports whether it did: a closed store has nothing to
// renew. Readers of the old content are not disturbed.
func (s *Set) Renew(ctx context.Context, repository string, keep []string) (bool, error) {
	st := s.get(repository)
	if st == nil {
		return false, nil
	}
	defer s.disk.measure(repository)
	if err := st.Repository.Renew(ctx, keep); err != nil {
		return false, err
	}
	st.size = sizeOf(st.config.Dir)
	return true, nil
}

// room reserves bytes for a store. If there is no room, it empties idle stores of missing or suspended Repositories, the
// oldest first, and then those with what merge requests brought: they never keep a branch from being fetched. Commits that
// are needed again are fetched again.
func (s *Set) room(ctx context.Context, repository string, bytes int64) error {
	err := s.disk.take(repository, bytes)
	tried := map[string]bool{repository: true}
	for err != nil {
		next := s.disk.idle(tried)
		if next == "" && !isForMergeRequests(repository) {
			next = s.disk.ofMergeRequests(tried)
		}
		if next == "" {
			return &source.Error{Reason: source.Full, Op: "fetch from " + repository, Cause: err.Error(),
				Hint: "remove unused Repositories, or raise --git-store-bytes and the size of the volume", Err: err}
		}
		tried[next] = true
		if err := s.empty(ctx, next); err != nil && !isForMergeRequests(next) {
			return fmt.Errorf("emptying the store of %s: %w", next, err)
		}
		err = s.disk.take(repository, bytes)
	}
	return nil
}

// empty removes the content of a store. The store of an existing Repository stays open.
func (s *Set) empty(ctx context.Context, name string) error {
	slot := s.slot(name)
	slot.mu.Lock()
	st := slot.store
	if st == nil {
		defer slot.mu.Unlock() // it must not be opened meanwhile
		return s.remove(name)
	}
	slot.mu.Unlock()
	defer s.disk.measure(name)
	ctx, cancel := context.WithTimeout(ctx, askingPatience)
	defer cancel()
	return st.Renew(ctx, nil)
}

// grown reports whether a store with so many packs and bytes should be renewed; fresh is its size after the last renewal.
func grown(packs int, bytes, fresh int64) bool {
	return packs >= renewPacks || bytes >= renewBytes && bytes >= 2*fresh
}

// sizeOf returns the bytes of all files below a folder that can be read.
func sizeOf(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
