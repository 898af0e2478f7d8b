package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// maxHeld bounds the objects that are in memory together while deltas are resolved: a base stays until all its deltas
// are resolved.
const maxHeld = 64 << 20

// errLargeDelta means that an object was sent as a delta and is too large to be unpacked from one. Sent whole, it
// would not have to be in memory.
var errLargeDelta = errors.New("the delta is too large")

// indexer finds the ids of a pack's objects. Unlike go-git's parser it never holds an object that no delta needs.
type indexer struct {
	ctx     context.Context
	scanner *packfile.Scanner // reads the pack from its beginning
	seeking *packfile.Scanner // reads single objects of it
	limit   int64             // bounds an object that a delta needs or makes

	entries []packEntry             // in the order of their offsets
	deltas  map[int][]int           // of a base, by position
	waiting map[plumbing.Hash][]int // deltas whose bases are named by id and not known yet
	left    int                     // unresolved deltas
	held    int64
}

type packEntry struct {
	offset int64
	id     plumbing.Hash
	crc    uint32
	kind   plumbing.ObjectType
}

// indexPack returns the index of a pack, and its checksum.
func indexPack(ctx context.Context, file io.ReadSeeker, limit int64) (*idxfile.MemoryIndex, plumbing.Hash, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	x := &indexer{
		ctx: ctx, limit: limit, scanner: packfile.NewScanner(interruptible{file, ctx}),
		deltas: map[int][]int{}, waiting: map[plumbing.Hash][]int{},
	}
	checksum, err := x.scan()
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	x.seeking = packfile.NewScanner(interruptible{file, ctx})
	if err := x.resolve(); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	var writer idxfile.Writer
	if err := writer.OnHeader(uint32(len(x.entries))); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	for _, e := range x.entries {
		writer.Add(e.id, uint64(e.offset), e.crc)
	}
	x.entries = nil
	if err := writer.OnFooter(checksum); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	index, err := writer.Index()
	return index, checksum, err
}

// scan reads all objects once. Afterwards the ids of all objects except deltas are known.
func (x *indexer) scan() (plumbing.Hash, error) {
	_, count, err := x.scanner.Header()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	for range count {
		if err := x.scanNext(); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	return x.scanner.Checksum()
}

func (x *indexer) scanNext() error {
	header, err := x.scanner.NextObjectHeader()
	if err != nil {
		return err
	}
	at, e := len(x.entries), packEntry{offset: header.Offset, kind: header.Type}
	var content io.Writer = io.Discard
	hasher := plumbing.NewHasher(header.Type, header.Length)
	switch header.Type {
	case plumbing.OFSDeltaObject:
		base, found := slices.BinarySearchFunc(x.entries, header.OffsetReference, func(e packEntry, offset int64) int { return int(e.offset - offset) })
		if !found {
			return errors.New("a delta has no base")
		}
		x.deltas[base] = append(x.deltas[base], at)
		x.left++
	case plumbing.REFDeltaObject:
		x.waiting[header.Reference] = append(x.waiting[header.Reference], at)
		x.left++
	default:
		content = hasher
	}
	written, crc, err := x.scanner.NextObject(content)
	switch {
	case err != nil:
		return err
	case written != header.Length:
		return errors.New("an object is shorter than it says")
	case !header.Type.IsDelta():
		e.id = hasher.Sum()
	}
	e.crc = crc
	x.entries = append(x.entries, e)
	return nil
}

// resolve finds the ids of deltas, starting from their bases.
func (x *indexer) resolve() error {
	for at := range x.entries {
		e := &x.entries[at]
		if e.kind.IsDelta() {
			continue // resolved from its base
		}
		needed := x.madeFrom(at)
		if len(needed) == 0 {
			continue
		}
		content, err := x.read(at)
		if err == nil {
			err = x.descend(base{kind: e.kind, content: content, deltas: needed})
		}
		if err != nil {
			return err
		}
	}
	if x.left > 0 {
		return errors.New("a delta has no base")
	}
	return nil
}

// madeFrom returns the deltas whose base is an object with a known id.
func (x *indexer) madeFrom(at int) []int {
	id := x.entries[at].id
	list := append(x.deltas[at], x.waiting[id]...)
	delete(x.deltas, at)
	delete(x.waiting, id)
	return list
}

// base is an object with unresolved deltas.
type base struct {
	kind    plumbing.ObjectType
	content []byte
	deltas  []int
}

// descend resolves all deltas of a base, and the deltas of their results. A base is dropped with its last delta.
func (x *indexer) descend(first base) error {
	stack := []base{first}
	x.held = int64(len(first.content))
	for len(stack) > 0 {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		top := &stack[len(stack)-1]
		at := top.deltas[0]
		top.deltas = top.deltas[1:]
		delta, err := x.read(at)
		if err != nil {
			return err
		}
		kind := top.kind
		made, err := packfile.PatchDelta(top.content, delta)
		if err != nil {
			return err
		}
		if len(top.deltas) == 0 {
			x.held -= int64(len(top.content))
			stack = stack[:len(stack)-1]
		}
		e := &x.entries[at]
		e.kind, e.id = kind, plumbing.ComputeHash(kind, made)
		x.left--
		if needed := x.madeFrom(at); len(needed) > 0 {
			if x.held += int64(len(made)); x.held > maxHeld {
				return x.tooLarge(x.held)
			}
			stack = append(stack, base{kind: kind, content: made, deltas: needed})
		}
	}
	return nil
}

// read returns an object as stored in the pack.
func (x *indexer) read(at int) ([]byte, error) {
	header, err := x.seeking.SeekObjectHeader(x.entries[at].offset)
	if err != nil {
		return nil, err
	}
	if header.Length > x.limit {
		return nil, x.tooLarge(header.Length)
	}
	var content bytes.Buffer
	content.Grow(int(header.Length))
	_, _, err = x.seeking.NextObject(&content)
	return content.Bytes(), err
}

func (x *indexer) tooLarge(bytes int64) error { return largeDelta(bytes, x.limit) }

func largeDelta(bytes, limit int64) error {
	return &fault{reason: TooLarge, err: errLargeDelta,
		cause: fmt.Sprintf("the commit holds files of %d bytes that the server sends as deltas, and more than %s cannot be unpacked from deltas", bytes, byteSize(limit)),
		hint:  "keep them in Git LFS, or raise limits.fileBytes and the agent's memory"}
}
