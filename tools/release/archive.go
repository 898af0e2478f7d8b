package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// archive is what users download for a platform.
type archive struct {
	system, processor string
	files             map[string][]byte
	// name and sum are those of the packed file.
	name, sum string
}

// suffix is that of programs.
func (a *archive) suffix() string {
	if a.system == "windows" {
		return ".exe"
	}
	return ""
}

// pack writes the archive: a zip for Windows, a compressed tar for others. The same files give the same bytes.
func (r *release) pack(a *archive) error {
	a.name = fmt.Sprintf("berth_%s_%s_%s.tar.gz", r.version, a.system, a.processor)
	packed := compressedTar
	if a.system == "windows" {
		a.name = strings.TrimSuffix(a.name, "tar.gz") + "zip"
		packed = zipped
	}
	content, err := packed(a.files, r.date)
	if err != nil {
		return err
	}
	a.sum = sum(content)
	return r.write(a.name, content)
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

func modeOf(name string) int64 {
	if strings.HasPrefix(path.Base(name), "berth") && !strings.Contains(path.Base(name), ".yaml") {
		return 0o755
	}
	return 0o644
}

func compressedTar(files map[string][]byte, date time.Time) ([]byte, error) {
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	w := tar.NewWriter(compressed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: modeOf(name), Size: int64(len(files[name])), ModTime: date, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func zipped(files map[string][]byte, date time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: date})
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(file, bytes.NewReader(files[name])); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// chart packs the Helm chart of this version.
func (r *release) chart(source string) error {
	root := filepath.Join(source, "deploy", "chart")
	files := map[string][]byte{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if name == "Chart.yaml" {
			content = stamped(content, r.version)
		}
		files["berth/"+filepath.ToSlash(name)] = content
		return err
	})
	if err != nil {
		return err
	}
	content, err := compressedTar(files, r.date)
	if err != nil {
		return err
	}
	return r.write(fmt.Sprintf("berth-chart-%s.tgz", strings.TrimPrefix(r.version, "v")), content)
}

// stamped sets both versions of a chart.
func stamped(chart []byte, version string) []byte {
	lines := strings.Split(string(chart), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "version: "):
			lines[i] = "version: " + strings.TrimPrefix(version, "v")
		case strings.HasPrefix(line, "appVersion: "):
			lines[i] = "appVersion: " + version
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

const checksumFile = "checksums.txt"

// checksums writes the digests of all results, for sha256sum -c.
func (r *release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum(content), entry.Name())
	}
	return r.write(checksumFile, []byte(text.String()))
}
