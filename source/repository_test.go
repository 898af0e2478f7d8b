package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"berth.dev/berth/internal/gittest"
)

func TestFetchBringsOnlyWhatMoved(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		large := randomText(300_000)
		first := o.commit(map[string]string{"infra/api.yaml": "one", "large": large})
		r := o.open()
		wantFile(t, snapshot(t, r, first), "infra/api.yaml", "one")
		whole := o.server.Sent()

		second := o.commit(map[string]string{"infra/api.yaml": "two"})
		o.server.Forget()
		s := snapshot(t, r, second)
		if moved := o.server.Sent(); moved > 3_000 {
			t.Errorf("the second fetch took %d bytes, the first %d", moved, whole)
		}
		wantFile(t, s, "infra/api.yaml", "two")
		wantFile(t, s, "large", large)
		wantFile(t, snapshot(t, r, first), "infra/api.yaml", "one")
		gitWith(t, r.dir, "", "--git-dir=git", "fsck", "--strict", first, second) // thin packs were completed

		o.server.Forget()
		snapshot(t, r, second)
		o.wantRequests()
	})
}

func TestOneRequestForAllThatMoved(t *testing.T) {
	o := newOrigin(t)
	var commits []string
	for _, branch := range []string{"a", "b", "c"} {
		commits = append(commits, o.CommitFrom("", branch, map[string]string{"name": branch}, "begin"))
	}
	r := o.open()
	if _, err := r.List(soon(t), nil); err != nil {
		t.Fatal(err)
	}
	o.server.Forget()
	if err := r.Fetch(soon(t), append(commits, commits...)...); err != nil {
		t.Fatal(err)
	}
	o.wantRequests(gittest.Fetch)
	for i, branch := range []string{"a", "b", "c"} {
		wantFile(t, snapshot(t, r, commits[i]), "name", branch)
	}
	o.wantRequests()
}

func TestForcePushAndBranchMadeAgain(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		base := o.commit(map[string]string{"f": "base"})
		before := o.CommitFrom("main", "feature", map[string]string{"f": "before"}, "before")
		r := o.open()
		wantFile(t, snapshot(t, r, before), "f", "before")

		forced := o.CommitFrom("main", "feature", map[string]string{"f": "forced"}, "forced")
		wantHead(t, r, "feature", forced)
		wantFile(t, snapshot(t, r, forced), "f", "forced")

		o.Branch("feature", base)
		wantHead(t, r, "feature", base)
		wantFile(t, snapshot(t, r, base), "f", "base") // an ancestor of a held commit

		o.Delete("feature")
		wantHead(t, r, "feature", "")
		o.Branch("feature", forced)
		wantHead(t, r, "feature", forced)
		wantFile(t, snapshot(t, r, forced), "f", "forced")
		wantFile(t, snapshot(t, r, before), "f", "before")
	})
}

func wantHead(t testing.TB, r *Repository, branch, commit string) {
	t.Helper()
	listing, err := r.List(soon(t), nil)
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
	first := mustOpen(t, Config{Dir: dir, URL: o.URL()})
	snapshot(t, first, commit)
	gitWith(t, filepath.Join(dir, "git"), "", "fsck", "--strict", commit) // what lies there is a repository that git accepts too
	o.server.Forget()

	again := mustOpen(t, Config{Dir: dir, URL: o.URL()})
	wantFile(t, snapshot(t, again, commit), "a/b/c", "deep")
	o.wantRequests()
}

func TestCorruptStoreIsRenewed(t *testing.T) {
	damage := map[string]func(t *testing.T, dir string){
		"not a folder":    func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); overwrite(t, dir, "junk") },
		"pack missing":    func(t *testing.T, dir string) { must(t, os.Remove(packFile(t, dir, "pack"))) },
		"index missing":   func(t *testing.T, dir string) { must(t, os.Remove(packFile(t, dir, "idx"))) },
		"pack cut off":    func(t *testing.T, dir string) { must(t, os.Truncate(packFile(t, dir, "pack"), 40)) },
		"index cut off":   func(t *testing.T, dir string) { must(t, os.Truncate(packFile(t, dir, "idx"), 100)) },
		"index scrambled": func(t *testing.T, dir string) { overwrite(t, packFile(t, dir, "idx"), strings.Repeat("x", 2000)) },
		"object missing":  dropBlob,
		"list cut off":    func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, "shallow"), 50)) },
	}
	for name, damage := range damage {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			commit := o.commit(map[string]string{"infra/api.yaml": "api", "f": "f"})
			other := o.commit(map[string]string{"f": "g"})
			dir := t.TempDir()
			first := mustOpen(t, Config{Dir: dir, URL: o.URL()})
			must(t, first.Fetch(soon(t), commit, other))
			damage(t, filepath.Join(dir, "git"))

			again := mustOpen(t, Config{Dir: dir, URL: o.URL()})
			wantFile(t, snapshot(t, again, commit), "infra/api.yaml", "api")
			wantFile(t, snapshot(t, again, other), "f", "g")
		})
	}
}

// dropBlob leaves one file out of the only pack.
func dropBlob(t *testing.T, dir string) {
	t.Helper()
	var kept strings.Builder
	dropped := false
	for line := range strings.Lines(gitWith(t, dir, "", "--git-dir=.", "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")) {
		id, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind == "blob" && !dropped {
			dropped = true
			continue
		}
		kept.WriteString(id + "\n")
	}
	pack, index := packFile(t, dir, "pack"), packFile(t, dir, "idx")
	gitWith(t, dir, kept.String(), "--git-dir=.", "pack-objects", "--quiet", "objects/pack/pack")
	must(t, os.Remove(pack))
	must(t, os.Remove(index))
}

func TestRenewKeepsWhatIsNeeded(t *testing.T) {
	o := newOrigin(t)
	dir := t.TempDir()
	r := mustOpen(t, Config{Dir: dir, URL: o.URL()})
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
	o.server.Forget()
	wantFile(t, snapshot(t, r, commits[2]), "dir/f", "3")
	o.wantRequests()
	wantFile(t, snapshot(t, r, commits[0]), "dir/f", "1") // fetched again
	o.wantRequests(gittest.Fetch)

	gitWith(t, dir, "", "--git-dir=git", "fsck", "--strict", commits[2])
	must(t, r.Renew(soon(t), []string{commits[2], strings.Repeat("1", 40)})) // one that is nowhere
	_, err := kept.ReadFile("dir/f")
	wantReason(t, err, Dropped, "renewed without this commit")
	o.server.Forget()
	wantFile(t, snapshot(t, r, commits[2]), "dir/f", "3")
	o.wantRequests()
	must(t, os.Rename(filepath.Join(dir, "git"), filepath.Join(dir, "git.old"))) // as if killed in the middle of a renewal
	again := mustOpen(t, Config{Dir: dir, URL: o.URL()})
	o.server.Forget()
	wantFile(t, snapshot(t, again, commits[2]), "dir/f", "3")
	o.wantRequests()
}

func TestOneBadCommitDoesNotKeepOthersAway(t *testing.T) {
	o := newOrigin(t)
	good := o.commit(map[string]string{"f": "good"})
	gone := strings.Repeat("d", 40)
	r := o.open()
	err := r.Fetch(soon(t), gone, good)
	wantReason(t, err, Refused, "fetch commit dddddddddd of "+o.URL(), "gone from the server")
	o.server.Forget()
	wantFile(t, snapshot(t, r, good), "f", "good")
	o.wantRequests()
}

func TestServersThatGiveOnlyHeads(t *testing.T) {
	o := newOrigin(t)
	o.server.IgnoreProtocolV2()
	o.Configure("uploadpack.allowReachableSHA1InWant", "false")
	before := o.commit(map[string]string{"f": "before"})
	r := o.open()
	wantFile(t, snapshot(t, r, before), "f", "before")
	head := o.CommitFrom("", "main", map[string]string{"f": "forced"}, "forced push")
	wantFile(t, snapshot(t, r, head), "f", "forced")

	again := o.open()
	err := again.Fetch(soon(t), before, head)
	wantReason(t, err, Refused, "commit "+before[:10], "uploadpack.allowReachableSHA1InWant")
	wantFile(t, snapshot(t, again, head), "f", "forced")
	wantFile(t, snapshot(t, r, before), "f", "before") // what is held stays
}

func TestFetchByAbbreviatedID(t *testing.T) {
	o := newOrigin(t)
	wantReason(t, o.open().Fetch(soon(t), "1a2b3c"), Invalid, "40 hexadecimal digits")
	o.wantRequests()
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
