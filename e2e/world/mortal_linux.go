package world

import "syscall"

// mortal makes a process end with this one, however this one ends.
func mortal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
