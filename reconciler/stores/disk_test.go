package stores

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/source"
)

func TestTheLastQuarterIsForSmallStores(t *testing.T) {
	d := newDisk(t.TempDir(), 100, nil)
	for _, step := range []struct {
		store string
		bytes int64
		fits  bool
	}{
		{"large", 70, true},
		{"large", 10, false},
		{"small", 20, true},
		{"small", 20, false}, // beyond its half of all only while three quarters are free
		{"tiny", 10, true},
		{"other", 1, false},
	} {
		if err := d.take(step.store, step.bytes); (err == nil) != step.fits {
			t.Errorf("%d for %s: %v", step.bytes, step.store, err)
		}
	}
}

// random returns text that cannot be compressed to less than so many bytes.
func random(bytes int) string {
	var text strings.Builder
	for text.Len() < bytes*8/5 {
		text.WriteString(rand.Text())
	}
	return text.String()
}

// full is a world of stores on a volume of a few hundred kilobytes.
type full struct {
	*Set
	git *gittest.Server
	now time.Time
	t   *testing.T
}

func newFull(t *testing.T, dir string) *full {
	f := &full{git: gittest.NewServer(t), now: apitest.Noon, t: t}
	f.Set = New(Config{Dir: dir, Credentials: noCredentials, Bytes: 400 << 10, Now: func() time.Time { return f.now }})
	return f
}

// repository creates a Repository with a commit of so many bytes, and fetches it.
func (f *full) repository(name string, size int) (*v1alpha1.Repository, error) {
	f.t.Helper()
	code := f.git.Repository(name)
	head := code.Commit("main", map[string]string{"file": random(size)}, "change")
	repo := apitest.Repository(func(r *v1alpha1.Repository) { r.Name, r.Spec.URL = name, code.URL() })
	store, _, err := f.Open(f.t.Context(), repo)
	if err != nil {
		f.t.Fatal(err)
	}
	return repo, store.Fetch(f.t.Context(), head)
}

func TestTheStoreThatNobodyUsesGoesFirst(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	if err := errors.Join(os.MkdirAll(gone, 0o700), os.WriteFile(filepath.Join(gone, "pack"), make([]byte, 120<<10), 0o600)); err != nil {
		t.Fatal(err)
	}
	f := newFull(t, dir)
	f.now = apitest.Noon.Add(2 * time.Hour)
	suspended, err := f.repository("suspended", 100<<10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.repository("first", 100<<10); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(gone); !os.IsNotExist(err) {
		t.Errorf("what a Repository left that does not exist is still here: %v", err)
	}
	f.now = f.now.Add(2 * time.Hour)
	f.disk.use("first")
	if _, err := f.repository("second", 100<<10); err != nil {
		t.Fatal(err)
	}
	if size := sizeOf(filepath.Join(dir, "suspended")); size > 10<<10 {
		t.Errorf("the unused store has %d bytes", size)
	}
	head := f.git.Repository("suspended").Head("main")
	f.now = f.now.Add(2 * time.Hour)
	if _, err := f.Snapshot(t.Context(), suspended.Name, head); err != nil {
		t.Errorf("it cannot be read any more: %v", err)
	}
}

func TestAStoreWithoutRoomSaysSo(t *testing.T) {
	f := newFull(t, t.TempDir())
	_, err := f.repository("posts", 350<<10)
	if source.ReasonOf(err) != source.Full || !strings.Contains(err.Error(), "the Git stores of all repositories have") || !strings.Contains(err.Error(), "--git-store-bytes") {
		t.Error(err)
	}
	// A removed store no longer counts.
	f.disk.measure("posts")
	if _, err := f.repository("small", 50<<10); err != nil {
		t.Error(err)
	}
	if total := f.disk.total(); total > 100<<10 {
		t.Errorf("%d bytes are counted", total)
	}
}

// A store that was emptied has nothing more to give.
func TestAnEmptiedStoreIsNotEmptiedAgain(t *testing.T) {
	f := newFull(t, t.TempDir())
	if _, err := f.repository("idle", 50<<10); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(2 * time.Hour)
	if _, err := f.repository("large", 500<<10); source.ReasonOf(err) != source.Full {
		t.Error(err)
	}
}

// What merge requests brought can be fetched again when a plan needs it. It gives way to what runs.
func TestWhatMergeRequestsBroughtGivesWay(t *testing.T) {
	f := newFull(t, t.TempDir())
	if _, err := f.repository("small", 20<<10); err != nil {
		t.Fatal(err)
	}
	if _, err := f.repository(ForMergeRequests("public"), 180<<10); err != nil {
		t.Fatal(err)
	}
	if _, err := f.repository(ForMergeRequests("other"), 200<<10); source.ReasonOf(err) != source.Full {
		t.Errorf("another merge request: %v", err)
	}
	if _, err := f.repository("production", 200<<10); err != nil {
		t.Error(err)
	}
}
