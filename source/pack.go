package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// intake bounds an incoming pack.
type intake struct {
	limits Limits
	budget *Budget
	room   func(ctx context.Context, bytes int64) error // asks for more bytes on the disk; nil: any number
	count  func(bytes int)                              // called with the bytes received; may be nil
}

// add stores a pack. The pack arrives in a temporary file, is inspected as it arrives, and is indexed there. It counts
// once it has its final name. Only that last step excludes readers.
func (s *store) add(ctx context.Context, pack io.Reader, in intake) error {
	file, err := os.CreateTemp(s.packDir(), "tmp_pack_*")
	if err != nil {
		return fmt.Errorf("storing a pack: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	contents, err := in.receive(ctx, pack, file)
	if err != nil {
		return err
	}
	release, err := in.budget.take(ctx, contents.memory())
	if err != nil {
		return err
	}
	defer release()
	if err := s.completePack(file, contents.bases, in.limits.deltaBytes()); err != nil {
		return err
	}
	return s.index(ctx, file, in.limits.deltaBytes())
}

// receive writes a pack to a file and inspects it at the same time. So a pack that exceeds a limit is cut off at once.
func (in intake) receive(ctx context.Context, pack io.Reader, file io.Writer) (packContents, error) {
	arriving := &arriving{ctx: ctx, pack: pack, in: in}
	contents, err := inspectPack(io.TeeReader(arriving, file), in)
	if arriving.err != nil {
		return contents, arriving.err // the inspection of half a pack adds nothing
	}
	if err != nil {
		return contents, err
	}
	_, err = io.Copy(file, arriving)
	return contents, err
}

// arriving counts the received bytes of a pack, and asks for room for them.
type arriving struct {
	ctx  context.Context
	pack io.Reader
	in   intake
	any  bool
	err  error // other than the end
}

func (a *arriving) Read(buf []byte) (int, error) {
	n, err := a.pack.Read(buf)
	if a.in.count != nil {
		a.in.count(n)
	}
	a.any = a.any || n > 0
	if a.in.room != nil && n > 0 {
		if full := a.in.room(a.ctx, int64(n)); full != nil {
			err = full
		}
	}
	switch {
	case err == io.EOF && !a.any:
		a.err = faultf(Corrupt, "the server sent an empty pack")
	case err != nil && err != io.EOF:
		a.err = err
	}
	return n, err
}

// objectCost is roughly the memory that indexing takes for each object.
const objectCost = 400

// maxExpansion bounds the unpacked size of a pack, as a multiple of Limits.FetchBytes. Real repositories stay below
// five.
const maxExpansion = 10

// packContents is the result of an inspection.
type packContents struct {
	bases    map[plumbing.Hash]bool // that deltas name by id
	objects  int64
	unpacked int64 // all of them together
	largest  int64 // of the bases and results of deltas
	made     int64 // results of deltas, all together
}

// memory returns roughly the memory that indexing takes: for a delta its base, its result, and room for the result to
// grow.
func (c packContents) memory() int64 {
	return c.objects*objectCost + 3*c.largest + min(c.made, maxHeld)
}

// inspectPack reads a pack's objects without keeping them, and refuses a pack that would need too much memory or
// time: a few bytes of a pack can stand for gigabytes.
func inspectPack(pack io.Reader, in intake) (packContents, error) {
	contents := packContents{bases: map[plumbing.Hash]bool{}}
	scanner := packfile.NewScanner(pack)
	_, count, err := scanner.Header()
	if err == nil {
		err = in.budget.holds(int64(count))
	}
	for ; err == nil && count > 0; count-- {
		err = contents.next(scanner, in.limits)
	}
	if err != nil {
		return contents, damagedPack(err)
	}
	return contents, nil
}

// next inspects one object.
func (c *packContents) next(scanner *packfile.Scanner, limits Limits) error {
	header, err := scanner.NextObjectHeader()
	if err != nil {
		return err
	}
	c.objects++
	if size := header.Length; size > limits.objectBytes() {
		return &fault{reason: TooLarge,
			cause: fmt.Sprintf("the commit holds a file of %d bytes, and more than %s cannot be unpacked", size, byteSize(limits.objectBytes())),
			hint:  "keep it in Git LFS, or raise limits.fileBytes and the agent's memory"}
	}
	content := prefix{left: header.Length}
	if _, _, err := scanner.NextObject(&content); err != nil {
		return err
	}
	if header.Type == plumbing.REFDeltaObject {
		c.bases[header.Reference] = true
	}
	size := header.Length
	if header.Type.IsDelta() {
		needs, makes := content.sizes()
		if larger := max(needs, makes, size); larger > limits.deltaBytes() {
			return largeDelta(larger, limits.deltaBytes())
		}
		size = max(size, makes)
		c.largest, c.made = max(c.largest, needs, makes), c.made+makes
	}
	c.unpacked += size
	if most := maxExpansion * limits.FetchBytes; c.unpacked > most {
		return &fault{reason: TooLarge, cause: fmt.Sprintf("the fetch is larger than %s when it is unpacked", byteSize(most)),
			hint: "raise limits.fetchBytes if that is meant"}
	}
	return nil
}

// prefix keeps the first bytes that are written to it: enough for the two sizes at the start of a delta. It refuses
// more bytes than announced.
type prefix struct {
	data []byte
	left int64
}

func (p *prefix) Write(data []byte) (int, error) {
	if p.left -= int64(len(data)); p.left < 0 {
		return 0, errors.New("an object is longer than it says")
	}
	if missing := 2*binary.MaxVarintLen64 - len(p.data); missing > 0 {
		p.data = append(p.data, data[:min(missing, len(data))]...)
	}
	return len(data), nil
}

// sizes returns the size of the base that a delta needs, and of its result.
func (p *prefix) sizes() (needs, makes int64) {
	r := bytes.NewReader(p.data)
	base, _ := binary.ReadUvarint(r)
	target, _ := binary.ReadUvarint(r)
	return int64(min(base, 1<<62)), int64(min(target, 1<<62))
}

// index writes the pack's index beside it and gives both their final names. The pack comes last, because its name
// makes both visible.
func (s *store) index(ctx context.Context, file *os.File, limit int64) error {
	index, checksum, err := indexPack(ctx, file, limit)
	if err != nil {
		return damagedPack(err)
	}
	var encoded bytes.Buffer
	if _, err := idxfile.NewEncoder(&encoded).Encode(index); err != nil {
		return fmt.Errorf("indexing a pack: %w", err)
	}
	name := filepath.Join(s.packDir(), "pack-"+checksum.String())
	if err := replaceFile(name+".idx", encoded.Bytes()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(file.Name(), name+".pack"); err != nil {
		return fmt.Errorf("storing a pack: %w", err)
	}
	s.objects.Reindex()
	return nil
}

// interruptible is a file whose reads fail once its context has ended, because unpacking may take long.
type interruptible struct {
	io.ReadSeeker
	ctx context.Context
}

func (i interruptible) Read(buf []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.ReadSeeker.Read(buf)
}

// damagedPack separates a failure of the disk, a limit and an expired deadline from damaged content.
func damagedPack(err error) error {
	var disk *os.PathError
	var known *fault
	switch {
	case errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &disk):
		return fmt.Errorf("reading a pack: %w", err)
	}
	return &fault{reason: Corrupt, cause: "the server sent a damaged pack: " + err.Error(), err: err}
}

// replaceFile writes a file so that a crash leaves the old one or the new one.
func replaceFile(name string, data []byte) error {
	temporary := name + ".tmp"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return fmt.Errorf("writing the store: %w", err)
	}
	if err := os.Rename(temporary, name); err != nil {
		return fmt.Errorf("writing the store: %w", err)
	}
	return nil
}
