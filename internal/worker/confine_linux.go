package worker

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes make the kernel end the child with its parent, and keep the terminal's signals away from the child.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// inheritNothing marks this process' descriptors so that a child inherits only those that it is given. Go does so
// for its own; others may come from the process that started this one.
func inheritNothing() {
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) // older kernels lack it
}

// niceness gives the parent and other processes priority.
const niceness = 10

// confine sets the limits that the kernel enforces. The kernel's memory limit is slightly above that of Serve,
// which can report why it ends.
func confine(l Limits) error {
	economical(l)
	// If memory runs out nevertheless, the kernel should kill the child and not the parent. This setting and the
	// niceness of threads may not be permitted, but neither is essential.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, niceness)
		}
	}
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0}
	if l.Memory > 0 {
		mapped, err := mappedData()
		if err != nil {
			return err
		}
		limits[unix.RLIMIT_DATA] = mapped + uint64(l.Memory)/4*5
	}
	if l.Reach == Nothing {
		limits[unix.RLIMIT_NOFILE] = 0 // open files stay open
	}
	for resource, limit := range limits {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("setting limit %d: %w", resource, err)
		}
	}
	// Other processes of the same user must not read the memory of this process, and it never gains rights.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	_, _, _ = syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0) // cgo programs cannot
	return nil
}

// mappedData returns the size of the mapped memory that RLIMIT_DATA counts. Most of it is unused.
func mappedData() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident, shared, code, library, data uint64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared, &code, &library, &data); err != nil {
		return 0, err
	}
	return data * uint64(os.Getpagesize()), nil
}

// processorTime returns the processor time of this process.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
