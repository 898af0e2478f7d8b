package preview

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

// Stores holds the bare store of every Repository.
type Stores struct {
	dir         string
	credentials Credentials
	local       source.LocalAccess
	mu          sync.Mutex
	open        map[string]*store
}

// Credentials reads what a Repository's Secret holds for its Git server; it is called before every
// listing, and is expected to answer from memory.
type Credentials func(ctx context.Context, repo *v1alpha1.Repository) (source.Credentials, error)

type store struct {
	*source.Repository
	key string // what it was opened with
}

// StoresConfig says where the stores lie and how their credentials are read.
type StoresConfig struct {
	Dir         string
	Credentials Credentials
	Local       source.LocalAccess
}

// NewStores returns Stores without any store.
func NewStores(c StoresConfig) *Stores {
	return &Stores{dir: c.Dir, credentials: c.Credentials, local: c.Local, open: map[string]*store{}}
}

// For returns the store of a Repository, opened anew if its address, limits or credentials changed.
func (s *Stores) For(ctx context.Context, repo *v1alpha1.Repository) (*source.Repository, error) {
	credentials, err := s.credentials(ctx, repo)
	if err != nil {
		return nil, err
	}
	config := source.Config{
		Dir:         filepath.Join(s.dir, repo.Name),
		URL:         repo.Spec.URL,
		Credentials: credentials,
		Local:       s.local,
		Limits: source.Limits{
			FetchBytes:   repo.Spec.Limits.FetchBytes.Value(),
			FileBytes:    repo.Spec.Limits.FileBytes.Value(),
			Files:        int(repo.Spec.Limits.Files),
			FetchTimeout: repo.Spec.Limits.FetchTimeout.Duration,
		},
	}
	key := fmt.Sprint(config.URL, config.Limits, config.Credentials)
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.open[repo.Name]; ok {
		if st.key == key {
			return st.Repository, nil
		}
		delete(s.open, repo.Name)
		if err := st.Close(); err != nil {
			return nil, fmt.Errorf("closing the store of %s: %w", repo.Name, err)
		}
	}
	opened, err := source.Open(config)
	if err != nil {
		return nil, err
	}
	s.open[repo.Name] = &store{Repository: opened, key: key}
	return opened, nil
}

// Snapshot returns the tree of a commit of a Repository that For has opened.
func (s *Stores) Snapshot(ctx context.Context, repository, commit string) (*source.Snapshot, error) {
	s.mu.Lock()
	st, ok := s.open[repository]
	s.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("the repository %s has not been read yet", repository)
	}
	return st.Repository.Snapshot(ctx, commit)
}

// Has says whether a Repository has been opened, so that its commits can be read.
func (s *Stores) Has(repository string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.open[repository]
	return ok
}

// Drop closes and removes the store of a Repository that is gone.
func (s *Stores) Drop(repository string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.open[repository]
	if !ok {
		return nil
	}
	delete(s.open, repository)
	if err := st.Close(); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(s.dir, repository))
}
