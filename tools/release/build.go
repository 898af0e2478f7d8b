package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"berth.dev/berth/tools/cyclonedx"
)

// build builds the programs for a platform from each copy of the sources, compares them, and packs them.
func (r *release) build(ctx context.Context, sources []string, scratch, platform string) (archive, error) {
	system, processor, ok := strings.Cut(platform, "/")
	if !ok {
		return archive{}, fmt.Errorf("a platform has the form linux/amd64")
	}
	a := archive{system: system, processor: processor, files: map[string][]byte{}}
	for _, program := range programs {
		var builds [][]byte
		name := program + a.suffix()
		for i, dir := range sources {
			file := filepath.Join(scratch, fmt.Sprint("build-", i), platform, name)
			var env []string
			if r.fresh && i > 0 {
				env = []string{"GOCACHE=" + filepath.Join(scratch, "cache")}
			}
			if err := r.compile(ctx, buildOf{dir, program, file, env}, a); err != nil {
				return archive{}, err
			}
			content, err := os.ReadFile(file)
			if err != nil {
				return archive{}, err
			}
			builds = append(builds, content)
			if i > 0 {
				continue
			}
			if err := r.materials(file, fmt.Sprintf("%s_%s_%s.cdx.json", program, system, processor)); err != nil {
				return archive{}, err
			}
		}
		if !bytes.Equal(builds[0], builds[1]) {
			return archive{}, fmt.Errorf("two builds of %s differ: %d and %d bytes", name, len(builds[0]), len(builds[1]))
		}
		a.files[name] = builds[0]
	}
	license, err := os.ReadFile(filepath.Join(sources[0], "LICENSE"))
	if err != nil {
		return archive{}, err
	}
	a.files["LICENSE"] = license
	return a, r.pack(&a)
}

// buildOf is one build of a program from the sources in a folder.
type buildOf struct {
	dir, program, to string
	env              []string
}

// compile builds one program as the Dockerfile does.
func (r *release) compile(ctx context.Context, b buildOf, a archive) error {
	env := append(b.env, "CGO_ENABLED=0", "GOOS="+a.system, "GOARCH="+a.processor, "GOFLAGS=", "GOWORK=off", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.date.Unix()))
	_, err := run(ctx, b.dir, env, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", r.stamp(), "-o", b.to, "./cmd/"+b.program)
	return err
}

// stamp returns the linker's flags, which the Dockerfile has, too.
func (r *release) stamp() string {
	return fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s -X main.date=%s", r.version, r.commit, r.date.Format("2006-01-02T15:04:05Z07:00"))
}

// materials writes the bill of materials of a program.
func (r *release) materials(file, name string) error {
	bom, err := cyclonedx.Of(file, r.version, r.date)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := bom.Write(&text); err != nil {
		return err
	}
	return r.write(name, text.Bytes())
}

func (r *release) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(r.out, name), content, 0o644)
}
