package source

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
)

// repack writes one pack with all objects of the given commits, which are held. The memory for each object comes out
// of the budget.
func (s *store) repack(ctx context.Context, commits []string, budget *Budget, w io.Writer) error {
	var all objectList
	for _, id := range commits {
		c, err := s.commit(id)
		if err != nil {
			return err
		}
		all.add(plumbing.NewHash(id))
		if err := s.collect(ctx, c.tree, &all); err != nil {
			return err
		}
	}
	sum := sha1.New()
	buffered := bufio.NewWriter(w)
	out := io.MultiWriter(buffered, sum)
	header := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(all.ids)))
	if _, err := out.Write(header); err != nil {
		return err
	}
	for _, id := range all.ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.repackOne(ctx, id, budget, out); err != nil {
			return err
		}
	}
	if _, err := buffered.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return buffered.Flush()
}

// repackOne writes one object in pack format. Meanwhile it is in memory twice, as read and compressed.
func (s *store) repackOne(ctx context.Context, id plumbing.Hash, budget *Budget, out io.Writer) error {
	size, err := s.sizeOf(id)
	if err != nil {
		return corrupt("object", id, err)
	}
	release, err := budget.take(ctx, 2*size)
	if err != nil {
		return err
	}
	defer release()
	object, err := s.packed(id, maxStored)
	if err != nil {
		return err
	}
	_, err = out.Write(object)
	return err
}

// maxStored is no limit: stored commits were within the limits when they were fetched.
const maxStored = 1 << 40

func (s *store) sizeOf(id plumbing.Hash) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects.EncodedObjectSize(id)
}

// collect adds a tree and everything below it.
func (s *store) collect(ctx context.Context, id plumbing.Hash, all *objectList) error {
	if id == emptyTree || !all.add(id) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := s.tree(id)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case e.isDir():
			if err := s.collect(ctx, e.id, all); err != nil {
				return err
			}
		case !e.isSubmodule():
			all.add(e.id)
		}
	}
	return nil
}

// objectList is a list without repetitions, in the order in which objects were found.
type objectList struct {
	ids  []plumbing.Hash
	seen map[plumbing.Hash]bool
}

// add reports whether the object is new.
func (l *objectList) add(id plumbing.Hash) bool {
	if l.seen == nil {
		l.seen = map[plumbing.Hash]bool{}
	}
	if l.seen[id] {
		return false
	}
	l.seen[id] = true
	l.ids = append(l.ids, id)
	return true
}
