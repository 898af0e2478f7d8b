package source

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// within bounds a pack that comes in by limits alone.
func within(l Limits) intake {
	return intake{limits: l.withDefaults(), budget: NewBudget(DefaultBudget)}
}

// object is one object of a pack that a test makes.
type object struct {
	kind plumbing.ObjectType
	base plumbing.Hash // of a delta
	size int           // as the header says
	data []byte        // the content
	// stored keeps the content as it is, because to compress and inflate it takes the race detector long.
	stored bool
}

// makePack writes a pack of the given objects, as git does.
func makePack(objects ...object) []byte {
	var pack bytes.Buffer
	pack.WriteString("PACK\x00\x00\x00\x02")
	_ = binary.Write(&pack, binary.BigEndian, uint32(len(objects)))
	for _, o := range objects {
		first, rest := byte(o.kind)<<4|byte(o.size&0xf), uint64(o.size>>4)
		if rest > 0 {
			first |= 0x80
		}
		pack.WriteByte(first)
		if rest > 0 {
			pack.Write(binary.AppendUvarint(nil, rest))
		}
		if o.kind == plumbing.REFDeltaObject {
			pack.Write(o.base[:])
		}
		level := zlib.DefaultCompression
		if o.stored {
			level = zlib.NoCompression
		}
		w, _ := zlib.NewWriterLevel(&pack, level) // which are both valid
		_, _ = w.Write(o.data)
		_ = w.Close()
	}
	sum := sha1.Sum(pack.Bytes())
	return append(pack.Bytes(), sum[:]...)
}

// delta says: base of 5 bytes, target of the given size, all of the base copied.
func delta(target int) []byte {
	instructions := binary.AppendUvarint([]byte{5}, uint64(target))
	return append(instructions, 0x90, 5)
}

func TestHostilePacks(t *testing.T) {
	hello := plumbing.ComputeHash(plumbing.BlobObject, []byte("hello"))
	blob := object{kind: plumbing.BlobObject, size: 5, data: []byte("hello")}
	whole := makePack(blob)
	scrambled := bytes.Clone(whole)
	scrambled[15] ^= 0xff
	tests := []struct {
		name   string
		pack   []byte
		reason Reason
	}{
		{"good", whole, ""},
		{"a good delta", makePack(blob, object{kind: plumbing.REFDeltaObject, base: hello, size: 4, data: delta(5)}), ""},
		{"empty", nil, Corrupt},
		{"not a pack", []byte("hello, world, this is not a pack"), Corrupt},
		{"cut off", whole[:20], Corrupt},
		{"scrambled", scrambled, Corrupt},
		{"a huge object", makePack(object{kind: plumbing.BlobObject, size: 1 << 40, data: []byte("hello")}), TooLarge},
		{"more than it says", makePack(object{kind: plumbing.BlobObject, size: 5, data: bytes.Repeat([]byte("x"), 1000)}), Corrupt},
		{"a delta to a huge object", makePack(blob, object{kind: plumbing.REFDeltaObject, base: hello, size: 9, data: delta(1 << 40)}), TooLarge},
		{"a delta that lies", makePack(blob, object{kind: plumbing.REFDeltaObject, base: hello, size: 4, data: delta(7)}), Corrupt},
		{"a delta of nothing", makePack(object{kind: plumbing.REFDeltaObject, base: plumbing.NewHash(strings.Repeat("1", 40)), size: 4, data: delta(5)}), Corrupt},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := openStore(t.TempDir())
			must(t, err)
			err = s.add(soon(t), bytes.NewReader(test.pack), within(Limits{}))
			if test.reason == "" {
				must(t, err)
				data, err := s.read(plumbing.BlobObject, hello, 100)
				if err != nil || string(data) != "hello" {
					t.Errorf("%q, %v", data, err)
				}
				return
			}
			wantReason(t, classify("add", Credentials{}, err), test.reason)
			if entries, _ := os.ReadDir(s.packDir()); len(entries) > 0 {
				t.Errorf("%s was left behind", entries[0].Name())
			}
		})
	}
}

func TestLimitsOfObjects(t *testing.T) {
	s, err := openStore(t.TempDir())
	must(t, err)
	size := 101 << 20
	zeros := makePack(object{kind: plumbing.BlobObject, size: size, data: make([]byte, size), stored: true})
	err = s.add(soon(t), bytes.NewReader(zeros), within(Limits{}))
	wantReason(t, classify("add", Credentials{}, err), TooLarge, "more than 100 MiB", "limits.fileBytes")
	must(t, s.add(soon(t), bytes.NewReader(zeros), within(Limits{FileBytes: 110 << 20})))
}

func TestIncompleteCommitDoesNotCount(t *testing.T) {
	file := plumbing.ComputeHash(plumbing.BlobObject, []byte("hello"))
	tree := append([]byte("100644 f\x00"), file[:]...)
	treeID := plumbing.ComputeHash(plumbing.TreeObject, tree)
	commit := []byte("tree " + treeID.String() + "\nauthor A <a> 1 +0000\ncommitter C <c> 1700000000 +0100\n\nm\n")
	commitID := plumbing.ComputeHash(plumbing.CommitObject, commit)
	all := []object{
		{kind: plumbing.CommitObject, size: len(commit), data: commit},
		{kind: plumbing.TreeObject, size: len(tree), data: tree},
		{kind: plumbing.BlobObject, size: 5, data: []byte("hello")},
	}
	for name, missing := range map[string]int{"commit": 0, "tree": 1, "blob": 2, "nothing": 3} {
		t.Run("without "+name, func(t *testing.T) {
			var some []object
			for i, o := range all {
				if i != missing {
					some = append(some, o)
				}
			}
			s, err := openStore(t.TempDir())
			must(t, err)
			must(t, s.add(soon(t), bytes.NewReader(makePack(some...)), within(Limits{})))
			err = s.verify(soon(t), commitID.String())
			if name != "nothing" {
				wantReason(t, classify("verify", Credentials{}, err), Corrupt, name)
				return
			}
			must(t, err)
			c, err := s.commit(commitID.String())
			if err != nil || !c.time.Equal(time.Unix(1700000000, 0)) || c.tree != treeID {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}
