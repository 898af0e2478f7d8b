package source

import (
	"bytes"
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

// add stores a pack: it arrives in a temporary file, is inspected and indexed there, and counts once it has its final
// name. Only that last step excludes readers.
func (s *store) add(pack io.Reader, limits Limits) error {
	file, err := os.CreateTemp(s.packDir(), "tmp_pack_*")
	if err != nil {
		return fmt.Errorf("storing a pack: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if size, err := io.Copy(file, pack); err != nil || size == 0 {
		if err == nil {
			err = faultf(Corrupt, "the server sent an empty pack")
		}
		return err
	}
	bases, err := inspectPack(file, limits.objectBytes())
	if err != nil {
		return err
	}
	if err := s.completePack(file, bases, limits.objectBytes()); err != nil {
		return err
	}
	return s.index(file)
}

// inspectPack reads a pack's objects without keeping them and refuses one that would need too much memory: a few
// bytes of a pack can stand for gigabytes. It returns the bases that deltas name by id.
func inspectPack(file io.ReadSeeker, limit int64) (map[plumbing.Hash]bool, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	bases := map[plumbing.Hash]bool{}
	scanner := packfile.NewScanner(file)
	_, count, err := scanner.Header()
	for ; err == nil && count > 0; count-- {
		var header *packfile.ObjectHeader
		if header, err = scanner.NextObjectHeader(); err != nil {
			break
		}
		if header.Type == plumbing.REFDeltaObject {
			bases[header.Reference] = true
		}
		size := header.Length
		if header.Type.IsDelta() && size <= limit {
			var start prefix
			if _, _, err = scanner.NextObject(&start); err != nil {
				break
			}
			size = max(size, start.targetSize())
		}
		if size > limit {
			return nil, &fault{reason: TooLarge,
				cause: fmt.Sprintf("the commit holds a file of %d bytes, and more than %s cannot be unpacked", size, byteSize(limit)),
				hint:  "keep it in Git LFS, or raise limits.fileBytes and the agent's memory"}
		}
	}
	if err != nil {
		return nil, damagedPack(err)
	}
	return bases, nil
}

// prefix keeps the beginning of what is written to it: enough for the two sizes that a delta starts with.
type prefix struct{ data []byte }

func (p *prefix) Write(data []byte) (int, error) {
	if missing := 2*binary.MaxVarintLen64 - len(p.data); missing > 0 {
		p.data = append(p.data, data[:min(missing, len(data))]...)
	}
	return len(data), nil
}

func (p *prefix) targetSize() int64 {
	r := bytes.NewReader(p.data)
	_, _ = binary.ReadUvarint(r)
	size, _ := binary.ReadUvarint(r)
	return int64(min(size, 1<<62))
}

// index writes the pack's index beside it and gives both their final names, the pack last: it is what makes them seen.
func (s *store) index(file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var writer idxfile.Writer
	parser, err := packfile.NewParser(packfile.NewScanner(file), &writer)
	if err != nil {
		return err
	}
	checksum, err := parser.Parse()
	if err != nil {
		return damagedPack(err)
	}
	index, err := writer.Index()
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

// damagedPack keeps a failure of the disk apart from one of the content.
func damagedPack(err error) error {
	var disk *os.PathError
	if errors.As(err, &disk) {
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
