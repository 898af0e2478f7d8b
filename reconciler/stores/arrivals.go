package stores

import "time"

// Arrived records how long it took to list the heads of a repository's branches, and to fetch those that are new. The
// durations of commits that are no longer heads are forgotten.
func (s *Set) Arrived(repository string, heads map[string]string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, now := s.took[repository], make(map[string]time.Duration, len(heads))
	for _, commit := range heads {
		if known, ok := before[commit]; ok {
			now[commit] = known
		} else {
			now[commit] = took
		}
	}
	s.took[repository] = now
}

// Took returns how long it took until a head was listed and fetched; zero if that is not known.
func (s *Set) Took(repository, commit string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took[repository][commit]
}
