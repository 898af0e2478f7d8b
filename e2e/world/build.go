package world

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"berth.dev/berth/internal/sopstest"
)

// Build builds berth and berth-sops into a folder, and returns the path of berth. The working directory must be a
// folder of this module, two levels below the root, as in tests.
func Build(dir string) (string, error) {
	binary := filepath.Join(dir, "berth")
	output, err := exec.Command("go", "build", "-C", filepath.Join("..", ".."), "-o", binary, "./cmd/berth").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build berth: %w: %s", err, output)
	}
	return binary, sopstest.Beside(binary)
}
