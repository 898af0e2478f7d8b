package node

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
)

// Image is a container image with one layer: static programs, and the files that they expect of a system.
type Image struct {
	// Name includes the tag.
	Name string
	// User runs the program, as UID:GID.
	User       string
	Entrypoint []string
	Env        []string
	// Programs maps paths in the image to files of this machine.
	Programs map[string]string
	// Files maps paths in the image to the content of other files.
	Files map[string]string
}

// Write writes the image as `docker save` does. The same content gives the same bytes.
func (i Image) Write(w io.Writer) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"User": i.User, "Entrypoint": i.Entrypoint, "Env": i.Env, "WorkingDir": "/"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return err
	}
	configName := digest(config) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{i.Name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	for _, file := range []struct {
		name    string
		content []byte
	}{{"manifest.json", manifest}, {configName, config}, {"layer.tar", layer}} {
		if err := add(archive, file.name, 0o644, file.content); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (i Image) layer() ([]byte, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	dirs := map[string]bool{".": true}
	// Folders precede their content. Every user may write to /tmp, as in every base image.
	if err := addDirs(w, dirs, "tmp", 0o1777); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(i.Programs)) {
		content, err := os.ReadFile(i.Programs[name])
		if err != nil {
			return nil, err
		}
		if err := addFile(w, dirs, name, 0o755, content); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.Files)) {
		if err := addFile(w, dirs, name, 0o644, []byte(i.Files[name])); err != nil {
			return nil, err
		}
	}
	return layer.Bytes(), w.Close()
}

func addFile(w *tar.Writer, dirs map[string]bool, name string, mode int64, content []byte) error {
	if err := addDirs(w, dirs, path.Dir(name), 0o755); err != nil {
		return err
	}
	return add(w, name, mode, content)
}

// addDirs adds a folder and its parents, unless they exist.
func addDirs(w *tar.Writer, there map[string]bool, name string, mode int64) error {
	if there[name] {
		return nil
	}
	if err := addDirs(w, there, path.Dir(name), 0o755); err != nil {
		return err
	}
	there[name] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode})
}

func add(w *tar.Writer, name string, mode int64, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
