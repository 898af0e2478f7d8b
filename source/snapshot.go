package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
)

// Snapshot is the immutable tree of one commit, read from the store on demand. It is safe for concurrent use.
//
// Symbolic links are followed while they stay inside the tree. A read is an *Error that names the file if no faithful
// content exists. That is the case for a link that leads out, a submodule, a Git LFS pointer, and a file larger than
// Limits.FileBytes. It is also the case when listing a folder with more than Limits.Files files below it.
type Snapshot struct {
	repository *Repository
	commit     string
	object     commitObject

	mu    sync.Mutex
	trees map[plumbing.Hash][]entry // folders read so far
}

var (
	_ fs.ReadDirFS  = (*Snapshot)(nil)
	_ fs.ReadFileFS = (*Snapshot)(nil)
	_ fs.StatFS     = (*Snapshot)(nil)
	_ fs.ReadLinkFS = (*Snapshot)(nil)
)

// Commit returns the full id of the snapshot's commit.
func (s *Snapshot) Commit() string { return s.commit }

// Parents returns the ids of the commit's first two parents, which its store need not hold. A merge has two.
func (s *Snapshot) Parents() []string { return s.object.parents }

// Time returns when the commit was made, according to its committer.
func (s *Snapshot) Time() time.Time { return s.object.time }

// Author returns the name of the commit's author. Like Subject, it is one line of at most 120 printable characters,
// and may be empty.
func (s *Snapshot) Author() string { return s.object.author }

// Subject returns the first paragraph of the commit's message, as one line.
func (s *Snapshot) Subject() string { return s.object.subject }

// Hash returns the Git object id of the file or folder at a path, as git rev-parse COMMIT:PATH does; "." is the root.
// A symbolic link at the end of the path is not followed: the id is that of the link.
func (s *Snapshot) Hash(name string) (string, error) {
	n, err := s.resolve("hash", name, keepLast)
	if err != nil {
		return "", err
	}
	return n.id.String(), nil
}

// Resolve returns the path of a name after all symbolic links are followed, for callers that note which files they
// read.
func (s *Snapshot) Resolve(name string) (string, error) {
	n, err := s.resolve("resolve", name, followLast)
	return n.path, err
}

// Open opens a file or folder.
func (s *Snapshot) Open(name string) (fs.File, error) {
	n, err := s.resolve("open", name, followLast)
	if err != nil {
		return nil, err
	}
	info := &fileInfo{snapshot: s, entry: n.entry, name: path.Base(name)}
	if n.isDir() {
		return &openDir{info: info, path: name}, nil
	}
	data, err := s.content(n, name)
	if err != nil {
		return nil, err
	}
	return &openFile{info: info, Reader: bytes.NewReader(data)}, nil
}

// ReadFile returns the content of a file; the caller owns it.
func (s *Snapshot) ReadFile(name string) ([]byte, error) {
	n, err := s.resolve("read", name, followLast)
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	}
	return s.content(n, name)
}

// ReadDir lists a folder, sorted by name. Links are listed as links, submodules as irregular files.
func (s *Snapshot) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := s.resolve("readdir", name, followLast)
	if err != nil {
		return nil, err
	}
	if !n.isDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("is not a folder")}
	}
	return s.list(n, name)
}

// Stat describes a file or folder, following links.
func (s *Snapshot) Stat(name string) (fs.FileInfo, error) { return s.stat(name, followLast) }

// Lstat describes a file, folder or link.
func (s *Snapshot) Lstat(name string) (fs.FileInfo, error) { return s.stat(name, keepLast) }

// ReadLink returns the target of a link, as it is written.
func (s *Snapshot) ReadLink(name string) (string, error) {
	n, err := s.resolve("readlink", name, keepLast)
	if err != nil {
		return "", err
	}
	if !n.isSymlink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return s.linkTarget(n.entry, name)
}

func (s *Snapshot) stat(name string, last lastElement) (fs.FileInfo, error) {
	n, err := s.resolve("stat", name, last)
	if err != nil {
		return nil, err
	}
	info := &fileInfo{snapshot: s, entry: n.entry, name: path.Base(name)}
	return info, info.measure()
}

// list reads a folder's entries, unless there are too many files below it.
func (s *Snapshot) list(n node, name string) ([]fs.DirEntry, error) {
	var files int
	err := s.repository.reading(s.commit, func(st *store) (err error) {
		files, err = st.files(n.id)
		return err
	})
	if err != nil {
		return nil, s.wrong("list", name, err)
	}
	if limit := s.repository.limits.Files; files > limit {
		return nil, s.wrong("list", name, &fault{reason: TooLarge,
			cause: fmt.Sprintf("it holds %d files and the limit is %d", files, limit),
			hint:  "choose a smaller folder as path, or raise limits.files"})
	}
	entries, err := s.entries(n.id, name)
	if err != nil {
		return nil, err
	}
	list := make([]fs.DirEntry, 0, len(entries))
	for _, e := range entries {
		if !utf8.ValidString(e.name) {
			return nil, s.wrong("list", name, faultf(Refused, "its entry %q is not named in UTF-8", e.name))
		}
		list = append(list, &fileInfo{snapshot: s, entry: e, name: e.name})
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// entries reads a folder once.
func (s *Snapshot) entries(id plumbing.Hash, name string) ([]entry, error) {
	s.mu.Lock()
	entries, known := s.trees[id]
	s.mu.Unlock()
	if known {
		return entries, nil
	}
	err := s.repository.reading(s.commit, func(st *store) (err error) {
		entries, err = st.tree(id)
		return err
	})
	if err != nil {
		return nil, s.wrong("list", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[id] = entries
	return entries, nil
}

// content reads a file, unless its content only points to another file.
func (s *Snapshot) content(n node, name string) ([]byte, error) {
	if n.isSubmodule() {
		return nil, s.wrong("read", name, &fault{reason: Refused, cause: "it is a submodule, and Berth reads only the repository itself",
			hint: "copy what is needed into the repository"})
	}
	data, err := s.blob(n.id, s.repository.limits.FileBytes)
	if errors.Is(err, errTooLong) {
		err = &fault{reason: TooLarge, cause: "it is larger than the limit of " + byteSize(s.repository.limits.FileBytes),
			hint: "move it out of the path, or raise limits.fileBytes"}
	}
	if err == nil && isLFSPointer(data) {
		err = &fault{reason: Refused, cause: "it is a Git LFS pointer; the file itself is not in the repository",
			hint: "keep manifests out of LFS (git lfs untrack)"}
	}
	if err != nil {
		return nil, s.wrong("read", name, err)
	}
	return data, nil
}

func (s *Snapshot) blob(id plumbing.Hash, limit int64) (data []byte, err error) {
	err = s.repository.reading(s.commit, func(st *store) (err error) {
		data, err = st.read(plumbing.BlobObject, id, limit)
		return err
	})
	return data, err
}

// isLFSPointer follows the specification of git-lfs: pointers are short and begin with their version.
func isLFSPointer(data []byte) bool {
	return len(data) < 1024 && bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/"))
}

// wrong completes an error about one file.
func (s *Snapshot) wrong(verb, name string, err error) error {
	err = classify(fmt.Sprintf("%s %q of commit %s", verb, name, short(s.commit)), s.repository.credentials, err)
	var e *Error
	if errors.As(err, &e) {
		e.Commit, e.Path = s.commit, name
	}
	return err
}
