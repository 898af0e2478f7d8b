//go:build !linux

package world

import "syscall"

// mortal does nothing here: the process survives if this one is killed.
func mortal() *syscall.SysProcAttr { return nil }
