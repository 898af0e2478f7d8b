package stores

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

// askedCommits is the maximum number of commits that Continues asks a server for.
const askedCommits = 3

// Set holds the bare store of every Repository.
type Set struct {
	Config
	disk *disk
	mu   sync.Mutex
	open map[string]*slot
	took map[string]map[string]time.Duration // by repository and commit; see Arrived
}

// slot holds the store of one Repository. Opening or removing a store can take long, and blocks only users of that slot. A slot
// stays when its store is dropped: who waits for it would otherwise open a store that no other caller finds.
type slot struct {
	mu sync.Mutex
	*store
}

// Credentials reads the credentials of a Repository's Git server from its Secret. It is called before every listing, and
// is expected to answer from memory.
type Credentials func(ctx context.Context, repo *v1alpha1.Repository) (source.Credentials, error)

type store struct {
	*source.Repository
	config source.Config
	key    string        // what it was opened with
	size   int64         // after it was last renewed
	asking chan struct{} // held by the one caller of Snapshot that waits for the server
}

// askingPatience is how long Snapshot waits while another caller asks the same server. So a server that hangs blocks one
// worker of the environments' controller, and not all.
const askingPatience = time.Second

// Config configures a Set.
type Config struct {
	Dir         string
	Credentials Credentials
	Local       source.LocalAccess
	// Proxy returns the proxy of an HTTP request; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Budget is the memory that all fetches share; nil means no limit.
	Budget *source.Budget
	// Bytes is the limit of all stores together; 0 means DefaultBytes.
	Bytes int64
	// Now is the clock; nil means the real one.
	Now func() time.Time
}

// New returns a Set without open stores.
func New(c Config) *Set {
	return &Set{Config: c, disk: newDisk(c.Dir, c.Bytes, c.Now), open: map[string]*slot{}, took: map[string]map[string]time.Duration{}}
}

// config returns the configuration of a Repository's store and a key that changes with it. An error has a key as well, so
// that a different error counts as a change.
func (s *Set) config(ctx context.Context, repo *v1alpha1.Repository) (source.Config, string, error) {
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
	// Printed credentials are masked, and would all look the same.
	text, err := json.Marshal([]any{repo.Spec.URL, limits, credentials})
	if err != nil {
		return source.Config{}, "", err
	}
	key, name := sha256.Sum256(text), repo.Name // the Repository changes when its status is written
	return source.Config{
		Dir:         filepath.Join(s.Dir, repo.Name),
		URL:         repo.Spec.URL,
		Credentials: credentials,
		Limits:      limits,
		Local:       s.Local,
		Proxy:       s.Proxy,
		Budget:      s.Budget,
		Room:        func(ctx context.Context, bytes int64) error { return s.room(ctx, name, bytes) },
	}, hex.EncodeToString(key[:]), nil
}

// Open returns the store of a Repository and the key of its configuration. It reopens the store after a change of the URL,
// the limits or the credentials.
func (s *Set) Open(ctx context.Context, repo *v1alpha1.Repository) (*source.Repository, string, error) {
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

// slot returns the slot of a Repository, and creates it if necessary.
func (s *Set) slot(repository string) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[repository] == nil {
		s.open[repository] = &slot{}
	}
	return s.open[repository]
}

// Key returns the key that Open would return now.
func (s *Set) Key(ctx context.Context, repo *v1alpha1.Repository) string {
	_, key, _ := s.config(ctx, repo)
	return key
}

// Snapshot returns the tree of a commit. The Repository must have been opened. A commit that the store lacks is fetched.
func (s *Set) Snapshot(ctx context.Context, repository, commit string) (*source.Snapshot, error) {
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
		return nil, &source.Error{Reason: source.Unreachable, Op: "fetch commit " + commit, Commit: commit, Cause: "its server is still busy with another fetch"}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Has reports whether a Repository has been opened, so that its commits can be read.
func (s *Set) Has(repository string) bool { return s.get(repository) != nil }

// State returns a text that changes when the store is reopened, and when it gets the commit: a server that refused a
// commit may deliver it at the next poll.
func (s *Set) State(repository, commit string) string {
	st := s.get(repository)
	switch {
	case st == nil:
		return ""
	case st.Holds(commit):
		return st.key + " " + commit
	}
	return st.key
}

func (s *Set) get(repository string) *store {
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

// Continues reports whether the server still has one of the known commits of its repository. It asks with an empty store,
// because the real one has the commits and would not ask.
func (s *Set) Continues(ctx context.Context, repo *v1alpha1.Repository, known []string) bool {
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

// Fetch fetches commits into the store of a Repository that has been opened.
func (s *Set) Fetch(ctx context.Context, repository string, commits ...string) error {
	st := s.get(repository)
	if st == nil {
		return fmt.Errorf("the store of %s is not open", repository)
	}
	err := st.Repository.Fetch(ctx, commits...)
	if err != nil {
		s.disk.measure(repository) // a failed fetch has removed its files
	}
	return err
}

// ForMergeRequests returns the name of the store with what merge requests of a Repository bring. No Repository can have it. A
// store of its own keeps their fetches from delaying those of branches.
func ForMergeRequests(repository string) string { return repository + mergeRequestsSuffix }

const mergeRequestsSuffix = "_merge-requests"

func isForMergeRequests(store string) bool { return strings.HasSuffix(store, mergeRequestsSuffix) }

// Drop closes and removes the store of a Repository that does not exist any more.
func (s *Set) Drop(repository string) error {
	slot := s.slot(repository)
	slot.mu.Lock()
	defer slot.mu.Unlock()
	s.mu.Lock()
	delete(s.took, repository)
	s.mu.Unlock()
	var closed error
	if slot.store != nil {
		closed = slot.Close()
		slot.store = nil
	}
	return errors.Join(closed, s.remove(repository))
}

// remove removes the files of a store that is not open. The slot is locked.
func (s *Set) remove(repository string) error {
	err := os.RemoveAll(filepath.Join(s.Dir, repository))
	s.disk.measure(repository)
	return err
}
