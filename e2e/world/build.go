package world

import (
	"os"
	"path/filepath"

	"berth.dev/berth/internal/buildtest"
	"berth.dev/berth/internal/sopstest"
)

// Build builds berth and berth-sops, links them into a folder, and returns the path of berth there.
func Build(dir string) (string, error) {
	built, err := buildtest.Program("berth")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, filepath.Base(built))
	if err := os.Symlink(built, binary); err != nil {
		return "", err
	}
	return binary, sopstest.Beside(binary)
}
