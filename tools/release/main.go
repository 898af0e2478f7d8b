// Release builds what a release consists of, twice, and fails if the two differ: programs, archives, checksums, bills of
// materials, the Helm chart, and the manifest of the kubectl plugin. It publishes nothing.
//
//	go run -C tools ./release -version v0.1.0 -out ../dist
//
// It builds the committed state, exported to two different folders.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	r := &release{say: log.Printf}
	var platforms string
	flag.StringVar(&r.version, "version", "", "version to stamp (default: that of git describe)")
	flag.StringVar(&r.root, "root", "..", "root of the repository")
	flag.StringVar(&r.out, "out", "../dist", "folder for the results; those of an earlier run are deleted")
	flag.StringVar(&r.url, "url", "https://berth.dev/releases", "address below which the archives will be published, for the plugin's manifest")
	flag.StringVar(&platforms, "platforms", strings.Join(all, ","), "platforms to build for")
	flag.BoolVar(&r.fresh, "fresh", false, "compile everything again for the second build, instead of using the cache of the first")
	flag.Parse()
	r.platforms = strings.Split(platforms, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := r.run(ctx); err != nil {
		log.Fatal(err)
	}
}

// all are the platforms of a release. The image is for the first two.
var all = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"}

// programs are the programs of a release.
var programs = []string{"berth", "berth-sops"}

// release is one release of the committed state.
type release struct {
	version, root, out, url string
	platforms               []string
	fresh                   bool
	say                     func(format string, args ...any)

	commit string
	date   time.Time
}

func (r *release) run(ctx context.Context) error {
	if err := r.identify(ctx); err != nil {
		return err
	}
	if err := r.empty(); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "berth-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	// The paths differ in length, so that a path in a program changes its size.
	sources := []string{filepath.Join(scratch, "a"), filepath.Join(scratch, "another", "place")}
	for _, dir := range sources {
		if err := r.export(ctx, dir); err != nil {
			return err
		}
	}
	var archives []archive
	for _, platform := range r.platforms {
		built, err := r.build(ctx, sources, scratch, platform)
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		archives = append(archives, built)
		r.say("%s: two builds gave the same bytes", platform)
	}
	if err := r.chart(sources[0]); err != nil {
		return err
	}
	if err := r.plugin(archives); err != nil {
		return err
	}
	return r.checksums()
}

// empty creates the folder for the results, without those of an earlier run. It refuses to delete anything else.
func (r *release) empty() error {
	entries, err := os.ReadDir(r.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(r.out, checksumFile)); err != nil {
			return fmt.Errorf("the folder %q has files, and no release; name another with -out", r.out)
		}
		if err := os.RemoveAll(r.out); err != nil {
			return err
		}
	}
	return os.MkdirAll(r.out, 0o755)
}

// identify finds the commit, its date and the version.
func (r *release) identify(ctx context.Context) error {
	commit, err := r.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	date, err := r.git(ctx, "show", "-s", "--format=%cI", "HEAD")
	if err != nil {
		return err
	}
	if r.version == "" {
		if r.version, err = r.git(ctx, "describe", "--tags", "--match", "v*"); err != nil {
			r.version, err = "v0.0.0-"+commit[:12], nil
		}
	}
	r.commit = commit
	r.date, err = time.Parse(time.RFC3339, date)
	r.date = r.date.UTC()
	r.say("version %s, commit %s of %s", r.version, r.commit, r.date.Format(time.RFC3339))
	return errors.Join(err, validVersion(r.version))
}

// validVersion refuses versions that Helm and krew do not accept.
func validVersion(version string) error {
	major, _, ok := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if !ok || !strings.HasPrefix(version, "v") || strings.Trim(major, "0123456789") != "" || strings.Count(version, ".") < 2 {
		return fmt.Errorf("the version %q is not of the form v1.2.3", version)
	}
	return nil
}

func (r *release) git(ctx context.Context, args ...string) (string, error) {
	return run(ctx, r.root, nil, "git", args...)
}

// export writes the committed files into a folder.
func (r *release) export(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, "source.tar")
	if _, err := r.git(ctx, "archive", "-o", file, "HEAD"); err != nil {
		return err
	}
	if _, err := run(ctx, dir, nil, "tar", "-xf", file); err != nil {
		return err
	}
	return os.Remove(file)
}

// run runs a command, and returns what it prints.
func run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Env = dir, append(os.Environ(), env...)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(complaints.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}
