package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"berth.dev/berth/internal/gittest"
	"github.com/go-git/go-git/v5/plumbing"
)

func TestSnapshotIsAFileSystem(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{
		"README.md": "read me", "infra/k8s/api.yaml": "api", "infra/k8s/nginx/conf": "nginx", "infra.txt": "sorts before infra/ in Git",
		"empty": "", "ünïcode/ñ.yaml": "x",
	})
	commit := o.change(gittest.Symlink("manifests", "infra/k8s"), gittest.Symlink("infra/k8s/readme", "../../README.md"))
	s := snapshot(t, o.open(), commit)
	must(t, fstest.TestFS(s, "README.md", "infra/k8s/api.yaml", "infra/k8s/nginx/conf", "infra.txt", "empty", "ünïcode/ñ.yaml", "manifests"))

	sub, err := fs.Sub(s, "infra")
	must(t, err)
	must(t, fstest.TestFS(sub, "k8s/api.yaml", "k8s/nginx/conf"))
	wantFile(t, s, "manifests/readme", "read me")

	info, err := s.Stat("infra/k8s/api.yaml")
	must(t, err)
	if info.Size() != 3 || info.Mode() != 0o444 || !info.ModTime().Equal(s.Time()) {
		t.Errorf("%v, made %v", fs.FormatFileInfo(info), s.Time())
	}
	if made := o.git("log", "-1", "--format=%ct", commit); made != strconv.FormatInt(s.Time().Unix(), 10) {
		t.Errorf("made at %v, Git says %s", s.Time(), made)
	}
	for name, want := range map[string]error{"none": fs.ErrNotExist, "README.md/none": fs.ErrNotExist, "../up": fs.ErrInvalid, "/abs": fs.ErrInvalid, "": fs.ErrInvalid} {
		if _, err := s.Open(name); !errors.Is(err, want) {
			t.Errorf("Open(%q) says %v, want %v", name, err, want)
		}
	}
	if _, err := s.ReadFile("infra"); err == nil {
		t.Error("a folder was read as a file")
	}
	if _, err := s.ReadDir("README.md"); err == nil {
		t.Error("a file was listed")
	}
}

func TestHashIsGits(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"app/main.php": "<?php", "app/lib/x": "x", "f": "f"})
	commit := o.change(gittest.Symlink("link", "app"))
	s := snapshot(t, o.open(), commit)
	if s.Commit() != commit {
		t.Errorf("commit %s, want %s", s.Commit(), commit)
	}
	for _, name := range []string{".", "app", "app/lib", "app/lib/x", "f", "link"} {
		want := o.git("rev-parse", commit+":"+strings.TrimPrefix(name, "."))
		if got, err := s.Hash(name); err != nil || got != want {
			t.Errorf("Hash(%q) is %s (%v), want %s", name, got, err, want)
		}
	}
	if _, err := s.Hash("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestLinks(t *testing.T) {
	o := newOrigin(t)
	changes := []gittest.Change{gittest.Write("target", "found"), gittest.Write("a/b/f", "deep")}
	for name, target := range map[string]string{
		"a/file": "../target", "a/dir": "b", "a/b/up": "../../a/b/../../target", "chain": "a/file",
		"out": "../outside", "a/out": "../../etc/passwd", "abs": "/etc/passwd", "loop": "loop2", "loop2": "loop",
		"dangling": "none", "a/here": ".", "through": "out/../target", "in-and-out": "a/../../x/target",
	} {
		changes = append(changes, gittest.Symlink(name, target))
	}
	s := snapshot(t, o.open(), o.change(changes...))
	const refused = "refused"
	for name, want := range map[string]string{
		"a/file": "target", "a/dir/f": "a/b/f", "a/b/up": "target", "chain": "target", "a/here/here/dir/f": "a/b/f",
		"out": refused, "a/out": refused, "abs": refused, "loop": refused, "dangling": "", "through": refused, "in-and-out": refused,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Resolve(name)
			switch want {
			case refused:
				wantReason(t, err, Refused, "cannot read \""+name+"\" of commit")
				var e *Error
				if errors.As(err, &e); e.Path != name || e.Commit != s.Commit() {
					t.Errorf("the error is about %q at %q", e.Path, e.Commit)
				}
				if _, err := s.Lstat(name); err != nil {
					t.Errorf("the link itself: %v", err)
				}
			case "":
				if !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			default:
				if err != nil || got != want {
					t.Errorf("leads to %q (%v), want %q", got, err, want)
				}
			}
		})
	}
	if target, err := s.ReadLink("a/file"); err != nil || target != "../target" {
		t.Errorf("%q, %v", target, err)
	}
	if _, err := s.ReadLink("target"); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
}

func TestSubmodule(t *testing.T) {
	o := newOrigin(t)
	other := o.commit(map[string]string{"f": "1"})
	s := snapshot(t, o.open(), o.change(gittest.Submodule("vendor/lib", other)))
	for _, read := range []func(string) error{
		func(name string) error { _, err := s.Open(name); return err },
		func(name string) error { _, err := s.ReadFile(name); return err },
		func(name string) error { _, err := s.ReadFile(name + "/below"); return err },
	} {
		wantReason(t, read("vendor/lib"), Refused, "vendor/lib", "submodule")
	}
	entries, err := s.ReadDir("vendor")
	if err != nil || len(entries) != 1 || entries[0].Type() != fs.ModeIrregular {
		t.Errorf("%v, %v", entries, err)
	}
	if hash, err := s.Hash("vendor/lib"); err != nil || hash != other {
		t.Errorf("%s, %v", hash, err)
	}
}

func TestLFSPointer(t *testing.T) {
	o := newOrigin(t)
	s := snapshot(t, o.open(), o.commit(map[string]string{
		"crds.yaml": "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("a", 64) + "\nsize 12345\n",
		"about.md":  "A pointer begins with: version https://git-lfs.github.com/spec/v1\n",
	}))
	_, err := s.ReadFile("crds.yaml")
	wantReason(t, err, Refused, `cannot read "crds.yaml"`, "LFS pointer")
	_, err = s.Open("crds.yaml")
	wantReason(t, err, Refused, "LFS pointer")
	_, err = s.ReadFile("about.md")
	must(t, err)
}

func TestLimits(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{
		"infra/a": "a", "infra/b/c": "c", "app/1": "1", "app/2": "2", "app/3/4": "4", "large": randomText(5000),
	})
	t.Run("of a file", func(t *testing.T) {
		s := snapshot(t, o.open(func(c *Config) { c.Limits.FileBytes = 1 << 10 }), commit)
		_, err := s.ReadFile("large")
		wantReason(t, err, TooLarge, `"large"`, "limit of 1 KiB", "limits.fileBytes")
		wantFile(t, s, "infra/a", "a")
	})
	t.Run("of files", func(t *testing.T) {
		s := snapshot(t, o.open(func(c *Config) { c.Limits.Files = 2 }), commit)
		_, err := s.ReadDir("infra")
		must(t, err)
		_, err = s.ReadDir("app")
		wantReason(t, err, TooLarge, `"app"`, "holds 3 files and the limit is 2", "limits.files")
		_, err = fs.ReadDir(s, ".")
		wantReason(t, err, TooLarge, "limits.files")
		wantFile(t, s, "app/3/4", "4") // one file may lie anywhere
	})
	t.Run("of a fetch", func(t *testing.T) {
		_, err := o.open(func(c *Config) { c.Limits.FetchBytes = 2 << 10 }).Snapshot(soon(t), commit)
		wantReason(t, err, TooLarge, "larger than 2 KiB", "limits.fetchBytes")
	})
}

// TestTreeBomb reads about thirty small trees that stand for 10^30 files.
func TestTreeBomb(t *testing.T) {
	o := newOrigin(t)
	tree := o.git("rev-parse", o.commit(map[string]string{"f": "boom"})+"^{tree}")
	for range 30 {
		var lines strings.Builder
		for i := range 10 {
			fmt.Fprintf(&lines, "040000 tree %s\td%d\n", tree, i)
		}
		tree = gitWith(t, o.Dir(), lines.String(), "mktree")
	}
	o.Branch("bomb", o.git("commit-tree", tree, "-m", "bomb"))
	s := snapshot(t, o.open(), o.Head("bomb"))
	_, err := s.ReadDir(".")
	wantReason(t, err, TooLarge, "limits.files")
}

func TestDamageFoundWhileReadingIsMended(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "precious " + randomText(2000)})
	dir := t.TempDir()
	r := mustOpen(t, Config{Dir: dir, URL: o.URL()})
	s := snapshot(t, r, commit)

	pack := packFile(t, filepath.Join(dir, "git"), "pack")
	data, err := os.ReadFile(pack)
	must(t, err)
	id, err := s.Hash("f")
	must(t, err)
	at := offsetOf(t, r, id) + 300
	data[at] ^= 0xff
	overwrite(t, pack, string(data))
	_, err = s.ReadFile("f")
	wantReason(t, err, Corrupt, `"f"`)

	fresh := snapshot(t, r, commit)
	content, err := fresh.ReadFile("f")
	must(t, err)
	if !strings.HasPrefix(string(content), "precious ") {
		t.Errorf("%.20q", content)
	}
}

// A commit that was found whole is lost with its pack. The next reader finds that out, and must not be the one who pays.
func TestACommitThatIsLostLaterIsFetchedAgain(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "one"})
	dir := t.TempDir()
	r := mustOpen(t, Config{Dir: dir, URL: o.URL()})
	must(t, r.Fetch(soon(t), commit))
	pack := packFile(t, filepath.Join(dir, "git"), "pack")
	must(t, os.Remove(pack))
	must(t, os.Remove(strings.TrimSuffix(pack, "pack")+"idx"))
	must(t, r.Fetch(soon(t), o.commit(map[string]string{"f": "two"}))) // the store looks at its packs again

	wantFile(t, snapshot(t, r, commit), "f", "one")
}

// offsetOf finds where an object lies in the only pack.
func offsetOf(t testing.TB, r *Repository, id string) int64 {
	t.Helper()
	indexes := gitWith(t, r.dir, "", "--git-dir=git", "verify-pack", "-v", packFile(t, filepath.Join(r.dir, "git"), "idx"))
	for line := range strings.SplitSeq(indexes, "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 5 && fields[0] == id {
			var offset int64
			for _, c := range fields[4] {
				offset = offset*10 + int64(c-'0')
			}
			return offset
		}
	}
	t.Fatalf("no %s in\n%s", id, indexes)
	return 0
}

func TestHostileTrees(t *testing.T) {
	id := strings.Repeat("\x01", len(plumbing.ZeroHash))
	tests := map[string]string{
		"cut off":        "100644 a\x00" + id[:5],
		"no name's end":  "100644 a",
		"no mode":        "a",
		"parent":         "100644 ..\x00" + id,
		"self":           "040000 .\x00" + id,
		"empty name":     "100644 \x00" + id,
		"a path":         "100644 a/b\x00" + id,
		"a socket":       "140000 a\x00" + id,
		"mode no number": "10064x a\x00" + id,
		"huge mode":      "77777777777777 a\x00" + id,
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			if entries, err := parseTree([]byte(data)); err == nil {
				t.Errorf("read as %v", entries)
			}
		})
	}
}

func FuzzParseTree(f *testing.F) {
	f.Add([]byte("100644 a\x00" + strings.Repeat("\x01", 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseTree(data)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.name == "" || strings.ContainsAny(e.name, "/\x00") || e.name == ".." {
				t.Fatalf("name %q", e.name)
			}
		}
	})
}
