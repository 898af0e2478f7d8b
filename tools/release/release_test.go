package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var date = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newRelease(t *testing.T) *release {
	t.Helper()
	return &release{version: "v1.2.3", out: t.TempDir(), url: "https://example.com/berth", commit: strings.Repeat("a", 40), date: date, say: t.Logf}
}

func TestArchivesHoldTheProgramsAndAreReproducible(t *testing.T) {
	r := newRelease(t)
	for _, system := range []string{"linux", "windows"} {
		a := archive{system: system, processor: "amd64", files: map[string][]byte{}}
		a.files["berth"+a.suffix()], a.files["LICENSE"] = []byte("a program"), []byte("a license")
		if err := r.pack(&a); err != nil {
			t.Fatal(err)
		}
		again := a
		if err := r.pack(&again); err != nil || again.sum != a.sum {
			t.Errorf("%s: packing the same files again gave %s, want %s: %v", system, again.sum, a.sum, err)
		}
		packed, err := os.ReadFile(filepath.Join(r.out, a.name))
		if err != nil {
			t.Fatal(err)
		}
		names, program := unpack(t, packed, system)
		if want := "LICENSE berth" + a.suffix(); strings.Join(names, " ") != want || program != "a program" {
			t.Errorf("%s holds %q with %q, want %s", a.name, names, program, want)
		}
		if sum(packed) != a.sum {
			t.Errorf("%s has the checksum of another content", a.name)
		}
	}
	if err := r.checksums(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.out, "checksums.txt"))
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("the checksums are %s, %v", text, err)
	}
}

// unpack returns the names in an archive, and the content of the last file.
func unpack(t *testing.T, packed []byte, system string) (names []string, last string) {
	t.Helper()
	if system == "windows" {
		r, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range r.File {
			opened, err := file.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(opened)
			if err != nil {
				t.Fatal(err)
			}
			names, last = append(names, file.Name), string(content)
		}
		return names, last
	}
	compressed, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(compressed); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, last
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, last = append(names, header.Name), string(content)
		if program := strings.HasPrefix(header.Name, "berth"); program != (header.Mode&0o111 != 0) {
			t.Errorf("%s has the mode %o", header.Name, header.Mode)
		}
	}
}

// A mistyped folder must not cost its files.
func TestOnlyResultsOfEarlierRunsAreDeleted(t *testing.T) {
	r := newRelease(t)
	mine := filepath.Join(r.out, "mine")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.empty(); err == nil || !strings.Contains(err.Error(), "name another with -out") {
		t.Errorf("a folder with other files: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
	if err := r.checksums(); err != nil {
		t.Fatal(err)
	}
	if err := r.empty(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(r.out); err != nil || len(entries) > 0 {
		t.Errorf("the results of an earlier run remain: %v, %v", entries, err)
	}
	r.out = filepath.Join(r.out, "new")
	if err := r.empty(); err != nil {
		t.Error(err)
	}
}

// krew refuses a manifest without these, and users one whose checksum is wrong.
func TestThePluginHasTheChecksumsOfTheArchives(t *testing.T) {
	r := newRelease(t)
	if err := r.plugin([]archive{{system: "darwin", processor: "arm64", name: "a.tar.gz", sum: "0123"}, {system: "windows", processor: "amd64", name: "b.zip", sum: "4567"}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.out, "berth.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"version: v1.2.3\n", "matchLabels: {os: darwin, arch: arm64}", "uri: https://example.com/berth/v1.2.3/a.tar.gz\n    sha256: 0123\n    bin: berth\n",
		"uri: https://example.com/berth/v1.2.3/b.zip\n    sha256: 4567\n    bin: berth.exe\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// The release gives the Dockerfile exact versions of what it builds with.
func TestTheDockerfileTakesWhatTheReleasePins(t *testing.T) {
	var texts []string
	for _, name := range []string{"Dockerfile", filepath.Join("docs", "releasing.md")} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	for _, name := range []string{"GO", "BASE", "VERSION", "COMMIT", "DATE"} {
		if !regexp.MustCompile(`(?m)^ARG (.* )?`+name+`=`).MatchString(texts[0]) || !strings.Contains(texts[1], "--build-arg "+name+"=") {
			t.Errorf("the Dockerfile and docs/releasing.md do not both have the argument %s", name)
		}
	}
	for line := range strings.Lines(texts[0]) {
		if strings.HasPrefix(line, "FROM ") && !strings.Contains(line, "${") {
			t.Errorf("the release cannot pin %q", line)
		}
	}
}

// The image and the archives hold the same programs, so both are built with the same flags.
func TestTheDockerfileStampsAsTheRelease(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRelease(t)
	r.version, r.commit = "$VERSION", "$COMMIT"
	flags := strings.Replace(r.stamp(), date.Format(time.RFC3339), "$DATE", 1)
	for _, want := range []string{`-ldflags "` + flags + `"`, "-trimpath -buildvcs=false", "CGO_ENABLED=0", "./cmd/" + strings.Join(programs, " ./cmd/")} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the Dockerfile does not have %s", want)
		}
	}
}

func TestVersions(t *testing.T) {
	for version, valid := range map[string]bool{"v0.1.0": true, "v1.2.3-rc.1": true, "v0.0.0-0123456789ab": true, "1.2.3": false, "v1": false, "main": false} {
		if err := validVersion(version); (err == nil) != valid {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestTheChartGetsTheVersion(t *testing.T) {
	got := string(stamped([]byte("name: berth\nversion: 0.1.0\nappVersion: v0.1.0\n"), "v2.0.0"))
	if want := "name: berth\nversion: 2.0.0\nappVersion: v2.0.0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The image is built only from the folders that .dockerignore names.
func TestTheImageHasAllSources(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	packages, err := run(t.Context(), root, nil, "go", "list", "-deps", "./cmd/berth", "./cmd/berth-sops")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(packages) {
		if path, ours := strings.CutPrefix(name, "berth.dev/berth/"); ours {
			if folder, _, _ := strings.Cut(path, "/"); !strings.Contains(string(text), "\n!"+folder+"\n") {
				t.Errorf("%s is not in the image's sources", path)
			}
		}
	}
}
