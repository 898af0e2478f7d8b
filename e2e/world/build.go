package world

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"berth.dev/berth/internal/sopstest"
)

// Build builds berth in a folder, with berth-sops beside it, and returns its path. It runs in a folder of this module,
// two below the root, as tests do.
func Build(dir string) (string, error) {
	binary := filepath.Join(dir, "berth")
	output, err := exec.Command("go", "build", "-C", filepath.Join("..", ".."), "-o", binary, "./cmd/berth").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build berth: %w: %s", err, output)
	}
	return binary, sopstest.Beside(binary)
}
