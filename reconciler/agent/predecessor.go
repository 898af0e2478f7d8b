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

// takePlace returns the identity of the agent that ran with the same folder before, on the same host, if it is proved to
// have ended: the kernel releases the lock of a file when the last process that holds it is gone, and not before. A
// container that is restarted in its pod finds the folder of its predecessor. The lock is held from then on, until the
// returned file is closed.
//
// Without that proof the identity is empty: the folder is new, another agent uses it, a frozen one included, or it
// cannot be locked.
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
	// A folder that several hosts share may have locks that do not hold between them.
	if podOf(string(before)) != podOf(identity) {
		return "", file, nil
	}
	return string(before), file, nil
}

// podOf is the first part of an identity: in a cluster the name of the pod.
func podOf(identity string) string {
	host, _, _ := strings.Cut(identity, "_")
	return host
}
