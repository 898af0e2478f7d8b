//go:build !linux

package world

import "syscall"

// mortal does nothing here: the process outlives this one if that is killed.
func mortal() *syscall.SysProcAttr { return nil }
