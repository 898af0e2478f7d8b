// Package sopstest builds berth-sops for tests, once for all packages, because linking its library is slow.
package sopstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Worker returns the path of berth-sops, and builds it if it is out of date.
func Worker(t testing.TB) string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// Beside puts berth-sops beside a program, where berth looks for it.
func Beside(program string) error {
	binary, err := built()
	if err != nil {
		return err
	}
	err = os.Symlink(binary, filepath.Join(filepath.Dir(program), filepath.Base(binary)))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// built compiles the program to the path of "make build", so that Go detects whether it is up to date. Test
// binaries take turns.
var built = sync.OnceValues(func() (string, error) {
	root, err := root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(root, ".build", "berth-sops")
	unlock, err := lock(binary + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	command := exec.Command("go", "build", "-o", binary, "./cmd/berth-sops")
	command.Dir, command.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building berth-sops: %w: %s", err, output)
	}
	return binary, nil
})

func lock(file string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which unlocks it
}

// root returns the folder of the module, which is above that of the test.
func root() (string, error) {
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
