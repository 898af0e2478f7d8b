//go:build unix

package closed

import (
	"syscall"
	"time"
)

// before is the limit of open files to restore.
var before syscall.Rlimit

func init() {
	time.AfterFunc(time.Hour, func() {}).Stop() // the first timer opens the files that the runtime waits with
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before) == nil {
		none := before
		none.Cur = 0
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none) // without the limit the libraries read what they find
	}
}

// Open allows opening files again.
func Open() error { return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) }
