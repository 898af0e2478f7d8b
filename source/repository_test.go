package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func snapshot(t testing.TB, r *Repository, commit string) *Snapshot {
	t.Helper()
	s, err := r.Snapshot(soon(t), commit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantFile checks one file of a snapshot.
func wantFile(t testing.TB, s *Snapshot, name, want string) {
	t.Helper()
	got, err := s.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

func wantReason(t testing.TB, err error, want Reason, texts ...string) {
	t.Helper()
	if ReasonOf(err) != want {
		t.Fatalf("got %v (reason %q), want reason %q", err, ReasonOf(err), want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func wantRequests(t testing.TB, o *origin, want ...string) {
	t.Helper()
	if got := o.takeRequests(); !slices.Equal(got, want) {
		t.Fatalf("requests %q, want %q", got, want)
	}
}

const (
	greet = "GET refs"
	post  = "POST git-upload-pack"
)

func TestFetchBringsOnlyWhatMoved(t *testing.T) {
	big := strings.Repeat("a large file that stays as it is\n", 20_000)
	for name, version := range map[string]func(*origin){"version 2": func(*origin) {}, "version 0": (*origin).onlyVersion0} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			version(o)
			first := o.commit(map[string]string{"infra/api.yaml": "one", "data/big.txt": randomText(300_000), "big.txt": big})
			r := o.open()
			wantFile(t, snapshot(t, r, first), "infra/api.yaml", "one")
			whole := o.bytesSent()

			second := o.commit(map[string]string{"infra/api.yaml": "two"})
			o.takeRequests()
			s := snapshot(t, r, second)
			if moved := o.bytesSent(); moved > 5_000 {
				t.Errorf("the second fetch took %d bytes, the first %d", moved, whole)
			}
			wantFile(t, s, "infra/api.yaml", "two")
			wantFile(t, s, "big.txt", big)
			wantFile(t, snapshot(t, r, first), "infra/api.yaml", "one")

			o.takeRequests()
			snapshot(t, r, second)
			wantRequests(t, o)
		})
	}
}

func TestOneRequestForAllThatMoved(t *testing.T) {
	o := newOrigin(t)
	var commits []string
	for _, branch := range []string{"a", "b", "c"} {
		o.git("checkout", "--quiet", "-B", branch)
		commits = append(commits, o.commit(map[string]string{"name": branch}))
	}
	r := o.open()
	if _, err := r.List(soon(t)); err != nil {
		t.Fatal(err)
	}
	o.takeRequests()
	if err := r.Fetch(soon(t), append(commits, commits...)...); err != nil {
		t.Fatal(err)
	}
	wantRequests(t, o, post)
	for i, branch := range []string{"a", "b", "c"} {
		wantFile(t, snapshot(t, r, commits[i]), "name", branch)
	}
	wantRequests(t, o)
}

func TestForcePushAndBranchMadeAgain(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "base"})
	o.git("checkout", "--quiet", "-b", "feature")
	before := o.commit(map[string]string{"f": "before"})
	r := o.open()
	wantFile(t, snapshot(t, r, before), "f", "before")

	o.git("reset", "--quiet", "--hard", "main")
	forced := o.commit(map[string]string{"f": "forced"})
	wantHead(t, r, "feature", forced)
	wantFile(t, snapshot(t, r, forced), "f", "forced")

	o.git("reset", "--quiet", "--hard", "main")
	base := o.git("rev-parse", "HEAD")
	wantHead(t, r, "feature", base)
	wantFile(t, snapshot(t, r, base), "f", "base") // an ancestor of what is held

	o.git("checkout", "--quiet", "main")
	o.git("branch", "--quiet", "-D", "feature")
	wantHead(t, r, "feature", "")
	o.git("branch", "--quiet", "feature", forced)
	wantHead(t, r, "feature", forced)
	wantFile(t, snapshot(t, r, forced), "f", "forced")
	wantFile(t, snapshot(t, r, before), "f", "before")
}

func wantHead(t testing.TB, r *Repository, branch, commit string) {
	t.Helper()
	listing, err := r.List(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := listing.Heads[branch]; got != commit {
		t.Fatalf("%s is at %q, want %q", branch, got, commit)
	}
}

func TestRestartNeedsNoFetch(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"a/b/c": "deep"})
	dir := t.TempDir()
	first := mustOpen(t, Config{Dir: dir, URL: o.url()})
	snapshot(t, first, commit)
	gitIn(t, filepath.Join(dir, "git"), "fsck", "--strict", commit) // what lies there is a repository that git accepts too
	o.takeRequests()

	again := mustOpen(t, Config{Dir: dir, URL: o.url()})
	wantFile(t, snapshot(t, again, commit), "a/b/c", "deep")
	wantRequests(t, o)
}

func TestCorruptStoreIsRenewed(t *testing.T) {
	damage := map[string]func(t *testing.T, dir string){
		"not a folder":    func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); overwrite(t, dir, "junk") },
		"pack missing":    func(t *testing.T, dir string) { must(t, os.Remove(packFile(t, dir, "pack"))) },
		"index missing":   func(t *testing.T, dir string) { must(t, os.Remove(packFile(t, dir, "idx"))) },
		"pack cut off":    func(t *testing.T, dir string) { must(t, os.Truncate(packFile(t, dir, "pack"), 40)) },
		"index cut off":   func(t *testing.T, dir string) { must(t, os.Truncate(packFile(t, dir, "idx"), 100)) },
		"index scrambled": func(t *testing.T, dir string) { overwrite(t, packFile(t, dir, "idx"), strings.Repeat("x", 2000)) },
		"list cut off":    func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, "shallow"), 50)) },
	}
	for name, damage := range damage {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			commit := o.commit(map[string]string{"infra/api.yaml": "api", "f": "f"})
			other := o.commit(map[string]string{"f": "g"})
			dir := t.TempDir()
			first := mustOpen(t, Config{Dir: dir, URL: o.url()})
			must(t, first.Fetch(soon(t), commit, other))
			damage(t, filepath.Join(dir, "git"))

			again := mustOpen(t, Config{Dir: dir, URL: o.url()})
			wantFile(t, snapshot(t, again, commit), "infra/api.yaml", "api")
			wantFile(t, snapshot(t, again, other), "f", "g")
		})
	}
}

func TestRenewKeepsWhatIsNeeded(t *testing.T) {
	o := newOrigin(t)
	dir := t.TempDir()
	r := mustOpen(t, Config{Dir: dir, URL: o.url()})
	var commits []string
	for _, content := range []string{"1", "2", "3"} {
		commits = append(commits, o.commit(map[string]string{"dir/f": content}))
		snapshot(t, r, commits[len(commits)-1])
	}
	wantPacks(t, r, 3)
	kept := snapshot(t, r, commits[1])

	must(t, r.Renew(soon(t), commits[1:]))
	wantPacks(t, r, 1)
	wantFile(t, kept, "dir/f", "2")
	o.takeRequests()
	wantFile(t, snapshot(t, r, commits[2]), "dir/f", "3")
	wantRequests(t, o)
	wantFile(t, snapshot(t, r, commits[0]), "dir/f", "1") // fetched again
	wantRequests(t, o, post)

	err := r.Renew(soon(t), []string{strings.Repeat("1", 40)})
	wantReason(t, err, Refused)
	wantFile(t, kept, "dir/f", "2")
	must(t, os.Rename(filepath.Join(dir, "git"), filepath.Join(dir, "git.old"))) // as if killed in the middle of a renewal
	again := mustOpen(t, Config{Dir: dir, URL: o.url()})
	o.takeRequests()
	wantFile(t, snapshot(t, again, commits[2]), "dir/f", "3")
	wantRequests(t, o)
}

func TestOneBadCommitDoesNotKeepOthersAway(t *testing.T) {
	o := newOrigin(t)
	good := o.commit(map[string]string{"f": "good"})
	gone := strings.Repeat("d", 40)
	r := o.open()
	err := r.Fetch(soon(t), gone, good)
	wantReason(t, err, Refused, "fetch commit dddddddddd of "+o.url(), "gone from the server")
	o.takeRequests()
	wantFile(t, snapshot(t, r, good), "f", "good")
	wantRequests(t, o)
}

func TestFetchByAbbreviatedID(t *testing.T) {
	o := newOrigin(t)
	wantReason(t, o.open().Fetch(soon(t), "1a2b3c"), Invalid, "40 hexadecimal digits")
	wantRequests(t, o)
}

func TestConcurrentSnapshots(t *testing.T) {
	o := newOrigin(t)
	var commits []string
	for _, content := range []string{"a", "b", "c", "d"} {
		commits = append(commits, o.commit(map[string]string{"dir/one": content, "dir/two": "same"}))
	}
	r := o.open()
	var work sync.WaitGroup
	for i := range 32 {
		work.Go(func() {
			commit := commits[i%len(commits)]
			s, err := r.Snapshot(soon(t), commit)
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				err := fs.WalkDir(s, ".", func(name string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					_, err = fs.ReadFile(s, name)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
			if i%8 == 0 {
				if err := r.Renew(soon(t), commits); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
}

func wantPacks(t testing.TB, r *Repository, want int) {
	t.Helper()
	if got, err := r.Packs(); err != nil || got != want {
		t.Fatalf("%d packs (%v), want %d", got, err, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func overwrite(t testing.TB, name, content string) {
	t.Helper()
	_ = os.Remove(name) // packs are read-only
	must(t, os.WriteFile(name, []byte(content), 0o600))
}

func packFile(t testing.TB, dir, kind string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "pack-*."+kind))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s in %s: %v", kind, dir, err)
	}
	return names[0]
}
