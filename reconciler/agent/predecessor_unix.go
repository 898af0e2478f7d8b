//go:build unix

package agent

import (
	"os"
	"syscall"
)

// lockFile locks a file for this process alone, and reports whether it could.
func lockFile(file *os.File) bool {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
