// Package sopstest gives tests the program berth-sops, files for it, and traps around it.
package sopstest

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"berth.dev/berth/internal/buildtest"
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

var built = sync.OnceValues(func() (string, error) { return buildtest.Program("berth-sops") })
