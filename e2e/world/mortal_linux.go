package world

import "syscall"

// mortal lets a process end with this one, in whatever way that ends.
func mortal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
