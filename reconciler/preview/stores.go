package preview

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

// A store is renewed when it has this many packs, or is larger than this and twice as large as it was
// after it was last renewed: it only grows.
const (
	renewPacks = 64
	renewBytes = 256 << 20
)

// askedCommits bounds how many commits a server is asked for to find out whether it is still the same
// repository.
const askedCommits = 3

// Stores holds the bare store of every Repository.
type Stores struct {
	StoresConfig
	disk *disk
	mu   sync.Mutex
	open map[string]*slot
}

// slot is the place of a Repository's store. Only who needs that one waits while it is opened or removed, which the
// disk may take its time for.
type slot struct {
	mu sync.Mutex
	*store
}

// Credentials reads what a Repository's Secret holds for its Git server; it is called before every
// listing, and is expected to answer from memory.
type Credentials func(ctx context.Context, repo *v1alpha1.Repository) (source.Credentials, error)

type store struct {
	*source.Repository
	config source.Config
	key    string        // what it was opened with
	size   int64         // after it was last renewed
	asking chan struct{} // held by the one pass that waits for the server
}

// askingPatience is how long a pass waits for another one that asks the same server. A server that hangs may thus hold
// one of the places in which environments are passed over, and not all.
const askingPatience = time.Second

// StoresConfig says where the stores lie and how their credentials are read.
type StoresConfig struct {
	Dir         string
	Credentials Credentials
	Local       source.LocalAccess
	// Proxy chooses the proxy of an HTTP request; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Budget is the memory that all fetches share; nil means any amount.
	Budget *source.Budget
	// Bytes bounds all stores together; 0 means DefaultStoreBytes.
	Bytes int64
	// Now is the clock; nil means the real one.
	Now func() time.Time
}

// NewStores returns Stores that have opened none.
func NewStores(c StoresConfig) *Stores {
	return &Stores{StoresConfig: c, disk: newDisk(c.Dir, c.Bytes, c.Now), open: map[string]*slot{}}
}

// config returns what a Repository's store is opened with, and what stands for all of it: for an error too, so that
// another one is told at once.
func (s *Stores) config(ctx context.Context, repo *v1alpha1.Repository) (source.Config, string, error) {
	credentials, err := s.Credentials(ctx, repo)
	if err != nil {
		return source.Config{}, err.Error(), err
	}
	limits := source.Limits{
		Branches:     int(repo.Spec.Limits.Branches),
		ListingBytes: repo.Spec.Limits.ListingBytes.Value(),
		FetchBytes:   repo.Spec.Limits.FetchBytes.Value(),
		FileBytes:    repo.Spec.Limits.FileBytes.Value(),
		Files:        int(repo.Spec.Limits.Files),
		FetchTimeout: repo.Spec.Limits.FetchTimeout.Duration,
	}
	// Printing credentials hides them, so that is not what tells one from another.
	text, err := json.Marshal([]any{repo.Spec.URL, limits, credentials})
	if err != nil {
		return source.Config{}, "", err
	}
	key := sha256.Sum256(text)
	return source.Config{
		Dir:         filepath.Join(s.Dir, repo.Name),
		URL:         repo.Spec.URL,
		Credentials: credentials,
		Limits:      limits,
		Local:       s.Local,
		Proxy:       s.Proxy,
		Budget:      s.Budget,
		Room:        func(ctx context.Context, bytes int64) error { return s.room(ctx, repo.Name, bytes) },
	}, hex.EncodeToString(key[:]), nil
}

// For returns the store of a Repository, opened anew if its address, limits or credentials changed, and
// what stands for them.
func (s *Stores) For(ctx context.Context, repo *v1alpha1.Repository) (*source.Repository, string, error) {
	config, key, err := s.config(ctx, repo)
	if err != nil {
		return nil, key, err
	}
	s.disk.use(repo.Name)
	slot := s.slot(repo.Name)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if st := slot.store; st != nil {
		if st.key == key {
			return st.Repository, key, nil
		}
		slot.store = nil
		if err := st.Close(); err != nil {
			return nil, "", fmt.Errorf("closing the store of %s: %w", repo.Name, err)
		}
	}
	opened, err := source.Open(config)
	if err != nil {
		return nil, "", err
	}
	slot.store = &store{Repository: opened, config: config, key: key, asking: make(chan struct{}, 1)}
	return opened, key, nil
}

// slot returns a Repository's, which is made if there is none.
func (s *Stores) slot(repository string) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[repository] == nil {
		s.open[repository] = &slot{}
	}
	return s.open[repository]
}

// key stands for what a Repository's store would be opened with now.
func (s *Stores) key(ctx context.Context, repo *v1alpha1.Repository) string {
	_, key, _ := s.config(ctx, repo)
	return key
}

// Snapshot returns the tree of a commit of a Repository that For has opened.
func (s *Stores) Snapshot(ctx context.Context, repository, commit string) (*source.Snapshot, error) {
	st := s.get(repository)
	if st == nil {
		return nil, fmt.Errorf("the repository %s has not been read yet", repository)
	}
	s.disk.use(repository)
	if st.Holds(commit) {
		return st.Repository.Snapshot(ctx, commit)
	}
	defer s.disk.measure(repository)
	timer := time.NewTimer(askingPatience)
	defer timer.Stop()
	select {
	case st.asking <- struct{}{}:
		defer func() { <-st.asking }()
		return st.Repository.Snapshot(ctx, commit)
	case <-timer.C:
		return nil, &source.Error{Reason: source.Unreachable, Op: "fetch commit " + commit, Commit: commit, Cause: "its server is still being asked for another one"}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Has says whether a Repository has been opened, so that its commits can be read.
func (s *Stores) Has(repository string) bool { return s.get(repository) != nil }

// opened returns what stands for that with which a Repository's store was opened, and for whether it has a commit: one
// that its server refused may have come at the next poll.
func (s *Stores) opened(repository, commit string) string {
	st := s.get(repository)
	switch {
	case st == nil:
		return ""
	case st.Holds(commit):
		return st.key + " " + commit
	}
	return st.key
}

func (s *Stores) get(repository string) *store {
	s.mu.Lock()
	slot := s.open[repository]
	s.mu.Unlock()
	if slot == nil {
		return nil
	}
	slot.mu.Lock()
	defer slot.mu.Unlock()
	return slot.store
}

// continues says whether a server has one of the commits that its repository is known to have had. They
// are asked for from beside the store, which has them and would not ask.
func (s *Stores) continues(ctx context.Context, repo *v1alpha1.Repository, known []string) bool {
	config, _, err := s.config(ctx, repo)
	if err != nil {
		return false
	}
	config.Dir, config.Room = filepath.Join(s.Dir, ".asked", repo.Name), nil
	defer os.RemoveAll(config.Dir)
	scratch, err := source.Open(config)
	if err != nil {
		return false
	}
	defer scratch.Close()
	for _, commit := range known[:min(askedCommits, len(known))] {
		if scratch.Fetch(ctx, commit) == nil {
			return true
		}
	}
	return false
}

// renewal says when a store is renewed.
type renewal int

const (
	whenGrown renewal = iota
	now
)

// renew replaces the store of a Repository by one that has only the commits to be kept, and says whether it did.
func (s *Stores) renew(ctx context.Context, repository string, keep []string, when renewal) (bool, error) {
	st := s.get(repository)
	if st == nil {
		return false, nil
	}
	packs, err := st.Packs()
	if err != nil {
		return false, err
	}
	s.disk.measure(repository)
	if when == whenGrown && !grown(packs, sizeOf(st.config.Dir), st.size) {
		return false, nil
	}
	defer s.disk.measure(repository)
	if err := st.Renew(ctx, keep); err != nil {
		return false, err
	}
	st.size = sizeOf(st.config.Dir)
	return true, nil
}

// room takes so many bytes for a store. If there is no room, stores that nobody has used for long are emptied, the
// oldest first: those of repositories that are gone or suspended. What is needed of them is fetched again.
func (s *Stores) room(ctx context.Context, repository string, bytes int64) error {
	err := s.disk.take(repository, bytes)
	for err != nil {
		idle := s.disk.idle()
		if idle == "" || idle == repository {
			return &source.Error{Reason: source.Full, Op: "fetch from " + repository, Cause: err.Error(),
				Hint: "remove Repositories that nobody needs, or raise --git-store-bytes and the size of the volume", Err: err}
		}
		if err := s.empty(ctx, idle); err != nil {
			return fmt.Errorf("emptying the store of %s: %w", idle, err)
		}
		err = s.disk.take(repository, bytes)
	}
	return nil
}

// empty removes what a store holds. That of a Repository which is there stays open.
func (s *Stores) empty(ctx context.Context, name string) error {
	st := s.get(name)
	if st == nil {
		return s.Drop(name)
	}
	defer s.disk.measure(name)
	ctx, cancel := context.WithTimeout(ctx, askingPatience)
	defer cancel()
	return st.Renew(ctx, nil)
}

// grown says whether a store with so many packs and bytes is to be renewed, of which it had so many when it was new.
func grown(packs int, bytes, fresh int64) bool {
	return packs >= renewPacks || bytes >= renewBytes && bytes >= 2*fresh
}

// sizeOf returns how many bytes there are below a folder, as far as they can be counted.
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

// Drop closes and removes the store of a Repository that is gone.
func (s *Stores) Drop(repository string) error {
	slot := s.slot(repository)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	s.mu.Lock()
	delete(s.open, repository)
	s.mu.Unlock()
	var closed error
	if slot.store != nil {
		closed = slot.Close()
		slot.store = nil
	}
	err := errors.Join(closed, os.RemoveAll(filepath.Join(s.Dir, repository)))
	s.disk.measure(repository)
	return err
}
