package source

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
)

// completePack makes a thin pack readable by itself, as git index-pack --fix-thin does. It appends the bases that the
// pack's deltas need and that only the store has.
func (s *store) completePack(file *os.File, bases map[plumbing.Hash]bool, limit int64) error {
	var missing []plumbing.Hash
	for id := range bases {
		if s.has(id) == nil {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	end, err := file.Seek(-sha1.Size, io.SeekEnd)
	if err != nil {
		return damagedPack(err)
	}
	if err := file.Truncate(end); err != nil {
		return fmt.Errorf("completing a pack: %w", err)
	}
	for _, id := range missing {
		object, err := s.packed(id, limit)
		if errors.Is(err, errTooLong) {
			return largeDelta(limit+1, limit)
		}
		if err != nil {
			return err
		}
		if _, err := file.Write(object); err != nil {
			return fmt.Errorf("completing a pack: %w", err)
		}
	}
	return sealPack(file, len(missing))
}

// sealPack corrects the number of objects in a pack's header and appends its checksum.
func sealPack(file *os.File, more int) error {
	const countAt = 8 // behind the signature and the version
	var count [4]byte
	if _, err := file.ReadAt(count[:], countAt); err != nil {
		return fmt.Errorf("completing a pack: %w", err)
	}
	binary.BigEndian.PutUint32(count[:], binary.BigEndian.Uint32(count[:])+uint32(more))
	if _, err := file.WriteAt(count[:], countAt); err != nil {
		return fmt.Errorf("completing a pack: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("completing a pack: %w", err)
	}
	sum := sha1.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("completing a pack: %w", err)
	}
	if _, err := file.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("completing a pack: %w", err)
	}
	return nil
}

// packed returns an object of the store in the form that it has in a pack.
func (s *store) packed(id plumbing.Hash, limit int64) ([]byte, error) {
	kind, err := s.kind(id)
	if err != nil {
		return nil, err
	}
	data, err := s.read(kind, id, limit)
	if err != nil {
		return nil, err
	}
	var object bytes.Buffer
	// The first byte holds the type and four bits of the size, those that follow seven bits each.
	size := uint64(len(data))
	first := byte(kind)<<4 | byte(size&0xf)
	if size >>= 4; size > 0 {
		first |= 0x80
	}
	object.WriteByte(first)
	if size > 0 {
		object.Write(binary.AppendUvarint(nil, size))
	}
	compressor := zlib.NewWriter(&object)
	if _, err := compressor.Write(data); err != nil {
		return nil, err
	}
	if err := compressor.Close(); err != nil {
		return nil, err
	}
	return object.Bytes(), nil
}

func (s *store) kind(id plumbing.Hash) (plumbing.ObjectType, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	object, err := s.objects.EncodedObject(plumbing.AnyObject, id)
	if err != nil {
		return 0, corrupt("object", id, err)
	}
	return object.Type(), nil
}
