package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// placeFile is locked by the agent that runs with a --store-dir, as long as its process exists.
const placeFile = ".agent.lock"

// maxIdentity is longer than any identity.
const maxIdentity = 512

// takePlace locks the folder of the stores. It returns the identity of the agent that used the folder before on the same
// host, if that agent has provably ended: the kernel releases the lock of a file when the last process that holds it is
// gone, and not before. A container that restarts in its pod finds the folder of its predecessor. The lock is held until the
// returned file is closed.
//
// Without that proof the identity is empty: the folder is new, another agent uses it (perhaps a frozen one), or it cannot be
// locked.
func takePlace(dir, identity string) (predecessor string, place *os.File, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("making the folder for Git stores: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, placeFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("opening the folder for Git stores: %w", err)
	}
	if !lockFile(file) {
		return "", nil, file.Close()
	}
	before, err := io.ReadAll(io.LimitReader(file, maxIdentity))
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt([]byte(identity), 0)
	}
	if err != nil {
		return "", nil, fmt.Errorf("writing to the folder for Git stores: %w", errors.Join(err, file.Close()))
	}
	// Locks in a folder that several hosts share may not hold between them.
	if podOf(string(before)) != podOf(identity) {
		return "", file, nil
	}
	return string(before), file, nil
}

// podOf returns the first part of an identity: in a cluster, the name of the pod.
func podOf(identity string) string {
	host, _, _ := strings.Cut(identity, "_")
	return host
}
