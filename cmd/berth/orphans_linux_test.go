package main

import "syscall"

// withTests makes a child process end when the tests end, even if these are killed.
func withTests() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
