package stores

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/source"
)

func TestGrown(t *testing.T) {
	for _, test := range []struct {
		name         string
		packs        int
		bytes, fresh int64
		want         bool
	}{
		{"small", renewPacks - 1, renewBytes - 1, 0, false},
		{"many packs", renewPacks, 0, 0, true},
		{"large, and never renewed", 1, renewBytes, 0, true},
		{"large by nature", 1, renewBytes, renewBytes - 1, false},
		{"twice as large as when it was new", 1, 2 * renewBytes, renewBytes, true},
	} {
		if got := grown(test.packs, test.bytes, test.fresh); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}

func TestAStoreThatIsTooLargeIsRenewedWithoutAGap(t *testing.T) {
	server := gittest.NewServer(t)
	code := server.Repository("posts")
	stores := New(Config{Dir: t.TempDir(), Credentials: noCredentials})
	repo := apitest.Repository(func(r *v1alpha1.Repository) { r.Spec.URL = code.URL() })
	if _, _, err := stores.Open(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	head := code.Commit("main", map[string]string{"file": "content"}, "change")
	kept, err := stores.Snapshot(t.Context(), repo.Name, head)
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(stores.Dir, repo.Name, "git", "ballast")
	for _, size := range []int64{renewBytes / 2, 2 * renewBytes} {
		if err := errors.Join(os.WriteFile(ballast, nil, 0o600), os.Truncate(ballast, size)); err != nil { // which takes no room
			t.Fatal(err)
		}
		read, stop := make(chan error, 1), make(chan struct{})
		go func() { read <- keepReading(kept, stop) }()
		renewed, err := stores.RenewIfGrown(t.Context(), repo.Name, []string{head})
		close(stop)
		if want := size >= renewBytes; renewed != want || err != nil {
			t.Errorf("with %d bytes: renewed %t, %v, want %t", size, renewed, err, want)
		}
		if err := <-read; err != nil {
			t.Errorf("a concurrent reader: %v", err)
		}
	}
	if size := sizeOf(filepath.Join(stores.Dir, repo.Name)); size > 100_000 {
		t.Errorf("%d bytes are left", size)
	}
}

// keepReading reads a file until stop is closed, and then once more.
func keepReading(snapshot *source.Snapshot, stop chan struct{}) error {
	for last := false; ; {
		if content, err := snapshot.ReadFile("file"); err != nil || string(content) != "content" {
			return fmt.Errorf("read %q: %w", content, err)
		}
		if last {
			return nil
		}
		select {
		case <-stop:
			last = true
		default:
		}
	}
}

func noCredentials(context.Context, *v1alpha1.Repository) (source.Credentials, error) {
	return source.Credentials{}, nil
}

// A server that hangs must not block all workers: other environments and repositories need them.
func TestAServerThatHangsHoldsOnePassAndNotAll(t *testing.T) {
	server := gittest.NewServer(t)
	code := server.Repository("posts")
	stores := New(Config{Dir: t.TempDir(), Credentials: noCredentials})
	repo := apitest.Repository(func(r *v1alpha1.Repository) { r.Spec.URL = code.URL() })
	if _, _, err := stores.Open(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	here := code.Commit("main", map[string]string{"file": "1"}, "change")
	if _, err := stores.Snapshot(t.Context(), repo.Name, here); err != nil {
		t.Fatal(err)
	}
	asked, answer, first := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	server.Misbehave(func(e *gittest.Exchange) {
		close(asked)
		<-answer
		e.Answer()
	})
	slow, other := code.Commit("main", map[string]string{"file": "2"}, "change"), code.Commit("main", map[string]string{"file": "3"}, "change")
	go func() {
		_, err := stores.Snapshot(t.Context(), repo.Name, slow)
		first <- err
	}()
	<-asked
	if _, err := stores.Snapshot(t.Context(), repo.Name, other); source.ReasonOf(err) != source.Unreachable || !strings.Contains(err.Error(), "still busy with another fetch") {
		t.Errorf("the next one gets: %v", err)
	}
	if _, err := stores.Snapshot(t.Context(), repo.Name, here); err != nil {
		t.Errorf("what is here cannot be read: %v", err)
	}
	server.Behave()
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := stores.Snapshot(t.Context(), repo.Name, other); err != nil {
		t.Error(err)
	}
}

func TestAStoreThatHasGrownIsRenewed(t *testing.T) {
	server := gittest.NewServer(t)
	code := server.Repository("posts")
	stores := New(Config{Dir: t.TempDir(), Credentials: noCredentials})
	repo := apitest.Repository(func(r *v1alpha1.Repository) { r.Spec.URL = code.URL() })
	store, _, err := stores.Open(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	var commits []string
	for i := range renewPacks {
		if renewed, err := stores.RenewIfGrown(t.Context(), repo.Name, commits); renewed || err != nil {
			t.Fatalf("after %d fetches: renewed %t, %v", i, renewed, err)
		}
		commits = append(commits, code.Commit("main", map[string]string{"file": fmt.Sprint(i)}, "change"))
		if err := store.Fetch(t.Context(), commits[i]); err != nil {
			t.Fatal(err)
		}
	}
	pinned, head := commits[3], commits[len(commits)-1]
	if renewed, err := stores.RenewIfGrown(t.Context(), repo.Name, []string{pinned, head, strings.Repeat("e", 40)}); !renewed || err != nil {
		t.Fatalf("renewed %t, %v", renewed, err)
	}
	server.Forget()
	for _, kept := range []string{pinned, head} {
		if _, err := stores.Snapshot(t.Context(), repo.Name, kept); err != nil {
			t.Errorf("the commit %s was not kept: %v", kept, err)
		}
	}
	if n := server.Count(); n > 0 {
		t.Errorf("%d requests were made for what was to be kept", n)
	}
	if err := stores.Drop(repo.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := stores.Snapshot(t.Context(), repo.Name, head); err == nil || stores.Has(repo.Name) {
		t.Error("a dropped store is still there")
	}
}
