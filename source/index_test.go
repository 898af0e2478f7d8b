package source

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
)

// TestIndexesAreThoseOfGit compares them byte for byte, for packs with long chains of deltas.
func TestIndexesAreThoseOfGit(t *testing.T) {
	o := newOrigin(t)
	text := strings.Split(randomText(20<<10), "\n")
	for n := range 30 {
		files := map[string]string{}
		for f := range 5 {
			text[(n*7+f)%len(text)] = fmt.Sprint("changed ", n, f)
			files[fmt.Sprintf("d%d/f%d", f, n%3)] = strings.Join(text, "\n")
		}
		o.commit(files)
	}
	for _, options := range [][]string{{"--delta-base-offset", "--depth=50"}, {"--depth=250", "--window=100"}, {"--depth=0"}} {
		dir := t.TempDir()
		gitWith(t, o.Dir(), "", append([]string{"pack-objects", "--all", "--quiet", "--no-reuse-delta"}, append(options, filepath.Join(dir, "pack"))...)...)
		packs, err := filepath.Glob(filepath.Join(dir, "*.pack"))
		if err != nil || len(packs) != 1 {
			t.Fatal(packs, err)
		}
		file, err := os.Open(packs[0])
		must(t, err)
		index, _, err := indexPack(soon(t), file, 32<<20)
		must(t, err)
		must(t, file.Close())
		var got bytes.Buffer
		_, err = idxfile.NewEncoder(&got).Encode(index)
		must(t, err)
		want, err := os.ReadFile(strings.TrimSuffix(packs[0], ".pack") + ".idx")
		must(t, err)
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%q: the index has %d bytes and differs from git's with %d", options, got.Len(), len(want))
		}
	}
}

// TestDeltasOfDeltasByID indexes a pack in which a delta's base is itself a delta that comes later.
func TestDeltasOfDeltasByID(t *testing.T) {
	blob := object{kind: plumbing.BlobObject, size: 5, data: []byte("hello")}
	// Copies all of a base and adds a letter.
	grow := func(base string, letter byte) (object, string) {
		made := base + string(letter)
		data := []byte{byte(len(base)), byte(len(made)), 0x90, byte(len(base)), 1, letter}
		return object{kind: plumbing.REFDeltaObject, base: plumbing.ComputeHash(plumbing.BlobObject, []byte(base)), size: len(data), data: data}, made
	}
	first, text := grow("hello", 'a')
	second, text := grow(text, 'b')
	third, text := grow(text, 'c')
	s, err := openStore(t.TempDir())
	must(t, err)
	must(t, s.add(soon(t), bytes.NewReader(makePack(third, second, blob, first)), within(Limits{})))
	got, err := s.read(plumbing.BlobObject, plumbing.ComputeHash(plumbing.BlobObject, []byte(text)), 100)
	if err != nil || string(got) != "helloabc" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestALargeFileThatChanged has a server send a large file as a delta of a held one, which would take too much
// memory.
func TestALargeFileThatChanged(t *testing.T) {
	o := newOrigin(t)
	large := strings.Repeat(randomText(1<<10), 33<<10)
	r := o.open()
	must(t, r.Fetch(soon(t), o.commit(map[string]string{"large": large})))
	changed := o.commit(map[string]string{"large": "changed\n" + large})
	must(t, r.Fetch(soon(t), changed))
	info, err := snapshot(t, r, changed).Stat("large")
	must(t, err)
	if info.Size() != int64(len(large)+len("changed\n")) {
		t.Errorf("it has %d bytes", info.Size())
	}
}
