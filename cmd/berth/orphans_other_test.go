//go:build !linux

package main

import "syscall"

// withTests returns nothing, because only Linux can end a child process with its parent.
func withTests() *syscall.SysProcAttr { return nil }
