package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// store is a bare repository on disk that holds single commits with their trees. It is shallow: its file "shallow"
// lists exactly the commits that were found whole, oldest first.
type store struct {
	dir string

	mu      sync.Mutex // go-git's object storage has no lock, and reading changes it too
	objects *filesystem.Storage
	listed  []string              // the content of "shallow": whole when written, to be verified after a restart
	whole   map[plumbing.Hash]int // trees verified in this process, and how many files each holds at any depth
	held    map[string]bool       // commits verified in this process
	damaged bool                  // a read found damage, which verifying does not look for in files
}

// cacheSize bounds the objects that go-git keeps between reads, mostly delta bases.
const cacheSize = 4 * cache.MiByte

// openStore opens a store, or creates it. It removes what an interrupted write left behind.
func openStore(dir string) (*store, error) {
	s := &store{dir: dir, whole: map[plumbing.Hash]int{}, held: map[string]bool{}}
	if err := os.MkdirAll(s.packDir(), 0o700); err != nil {
		return nil, fmt.Errorf("making the store: %w", err)
	}
	for _, pattern := range []string{"tmp_pack_*", "*.tmp"} {
		leftovers, err := filepath.Glob(filepath.Join(s.packDir(), pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range leftovers {
			if err := os.Remove(name); err != nil {
				return nil, fmt.Errorf("tidying the store: %w", err)
			}
		}
	}
	// The git program requires these two files in a store.
	for name, content := range map[string]string{
		"HEAD":   "ref: refs/heads/none\n",
		"config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
	} {
		if err := replaceFile(filepath.Join(dir, name), []byte(content)); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "refs"), 0o700); err != nil {
		return nil, fmt.Errorf("making the store: %w", err)
	}
	s.objects = filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRU(cacheSize))
	return s, s.readShallow()
}

func (s *store) packDir() string { return filepath.Join(s.dir, "objects", "pack") }

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects.Close()
}

// move moves the store to another folder, before it has readers.
func (s *store) move(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.objects.Close(); err != nil {
		return err
	}
	if err := os.Rename(s.dir, dir); err != nil {
		return err
	}
	s.dir = dir
	s.objects = filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRU(cacheSize))
	return nil
}

func (s *store) readShallow() error {
	data, err := os.ReadFile(filepath.Join(s.dir, "shallow"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the store: %w", err)
	}
	for line := range strings.FieldsSeq(string(data)) {
		if isObjectID(line) {
			s.listed = append(s.listed, line)
		}
	}
	return nil
}

// hold records commits that were found whole.
func (s *store) hold(commits []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.listed)
	for _, id := range commits {
		s.held[id] = true
		if !slices.Contains(s.listed, id) {
			s.listed = append(s.listed, id)
		}
	}
	if len(s.listed) == before {
		return nil
	}
	return replaceFile(filepath.Join(s.dir, "shallow"), []byte(strings.Join(s.listed, "\n")+"\n"))
}

// newest returns up to n held commits, so that the server sends only the difference.
func (s *store) newest(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.listed[max(0, len(s.listed)-n):])
}

// holds reports whether the store has a whole commit. It verifies the commit if this process has not done so.
func (s *store) holds(ctx context.Context, commit string) (bool, error) {
	s.mu.Lock()
	held, listed := s.held[commit], slices.Contains(s.listed, commit)
	s.mu.Unlock()
	if held || !listed {
		return held, nil
	}
	if err := s.verify(ctx, commit); err != nil {
		return false, err
	}
	return true, s.hold([]string{commit})
}

// distrust marks the store as damaged, so that the next fetch replaces it.
func (s *store) distrust() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = true
}

func (s *store) distrusted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damaged
}

// verified reports whether this process has found a commit whole.
func (s *store) verified(commit string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[commit]
}

// commit reads a commit.
func (s *store) commit(commit string) (commitObject, error) {
	id := plumbing.NewHash(commit)
	data, err := s.read(plumbing.CommitObject, id, maxMeta)
	if errors.Is(err, errTooLong) {
		return commitObject{}, faultf(TooLarge, "commit %s is itself larger than %s", commit, byteSize(maxMeta))
	}
	if err != nil {
		return commitObject{}, err
	}
	c, err := parseCommit(data)
	if err != nil {
		return commitObject{}, corrupt("commit", id, err)
	}
	return c, nil
}

// maxMeta bounds a commit or a single folder, which takes several times as much memory when it is read: about 200,000
// entries.
const maxMeta = 8 << 20

// tree reads the entries of one folder.
func (s *store) tree(id plumbing.Hash) ([]entry, error) {
	if id == emptyTree {
		return nil, nil
	}
	data, err := s.read(plumbing.TreeObject, id, maxMeta)
	if errors.Is(err, errTooLong) {
		return nil, &fault{reason: TooLarge, cause: fmt.Sprintf("a folder of the commit has more than %s of names", byteSize(maxMeta)),
			hint: "split the folder"}
	}
	if err != nil {
		return nil, err
	}
	entries, err := parseTree(data)
	if err != nil {
		return nil, corrupt("tree", id, err)
	}
	return entries, nil
}

// errTooLong is returned for an object that is larger than the caller's limit.
var errTooLong = errors.New("object too long")

// read returns an object's content and checks its id: go-git does not, and the applied content must be exactly Git's.
func (s *store) read(kind plumbing.ObjectType, id plumbing.Hash, limit int64) ([]byte, error) {
	data, err := s.readUnchecked(kind, id, limit)
	if err != nil {
		if errors.Is(err, errTooLong) {
			return nil, err
		}
		return nil, corrupt(kind.String(), id, err)
	}
	if plumbing.ComputeHash(kind, data) != id {
		return nil, corrupt(kind.String(), id, errors.New("its content has another id"))
	}
	return data, nil
}

func (s *store) readUnchecked(kind plumbing.ObjectType, id plumbing.Hash, limit int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The size comes first, because go-git unpacks an object for any other question.
	if size, err := s.objects.EncodedObjectSize(id); err == nil && size > limit {
		return nil, errTooLong
	}
	object, err := s.objects.EncodedObject(kind, id)
	if err != nil {
		return nil, err
	}
	if object.Size() > limit {
		return nil, errTooLong
	}
	r, err := object.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit+1))
}

// size returns the size of a blob without unpacking it.
func (s *store) size(id plumbing.Hash) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size, err := s.objects.EncodedObjectSize(id)
	if err != nil {
		return 0, corrupt("blob", id, err)
	}
	return size, nil
}

func (s *store) has(id plumbing.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects.HasEncodedObject(id)
}
