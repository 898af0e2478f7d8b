package source

import (
	"context"
	"errors"
	"math"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxDepth bounds how deep folders nest; no path of an operating system goes that far.
const maxDepth = 1000

// verify walks a commit's whole tree: it reads every folder, and looks up every file. Folders of verified commits are
// not walked again, which also makes the walk finite for trees that repeat themselves on every level.
func (s *store) verify(ctx context.Context, commit string) error {
	c, err := s.commit(commit)
	if err != nil {
		return err
	}
	_, err = s.verifyTree(ctx, c.tree, 0)
	return err
}

// verifyTree returns the number of files in the tree.
func (s *store) verifyTree(ctx context.Context, id plumbing.Hash, depth int) (int, error) {
	if files, known := s.walked(id); known {
		return files, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if depth > maxDepth {
		return 0, faultf(Refused, "its folders nest deeper than %d", maxDepth)
	}
	entries, err := s.tree(id)
	if err != nil {
		return 0, err
	}
	files := 0
	for _, e := range entries {
		below := 1
		switch {
		case e.isDir():
			if below, err = s.verifyTree(ctx, e.id, depth+1); err != nil {
				return 0, err
			}
		case e.isSubmodule(): // its commit lies in another repository
		default:
			if err := s.has(e.id); err != nil {
				return 0, corrupt("blob", e.id, err)
			}
		}
		files = saturatingAdd(files, below)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole[id] = files
	return files, nil
}

func (s *store) walked(id plumbing.Hash) (files int, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, known = s.whole[id]
	return files, known
}

// files returns the number of files below a folder of a verified commit.
func (s *store) files(id plumbing.Hash) (int, error) {
	files, known := s.walked(id)
	if !known {
		return 0, corrupt("tree", id, errors.New("it was not verified"))
	}
	return files, nil
}

func saturatingAdd(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}
