// Package buildtest builds the programs of this module for tests, once for all packages, because linking them is slow.
package buildtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program builds a program of this module, unless it is up to date, and returns its path. It builds as "make build" does, and
// to the same path, so that tests run what is shipped. Test binaries take turns.
func Program(name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(root, ".build", name)
	unlock, err := lock(binary + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	command := exec.Command("go", "build", "-o", binary, "./cmd/"+name)
	command.Dir, command.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", name, err, output)
	}
	return binary, nil
}

// Root returns the folder of the module, which is above that of the test.
func Root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "berth-sops")); err == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		err = errors.New("cmd/berth-sops is in no folder above this one")
	}
	return "", err
}
