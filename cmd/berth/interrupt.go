package main

import (
	"context"
	"os"
)

// input is the standard input. Its reads end with the program's context, because a terminal or a pipe may never send
// anything.
type input struct {
	file *os.File
	ctx  context.Context
}

// Read reads from the file, or returns the context's error once the context has ended. An abandoned read continues
// in the background and loses what it gets.
func (i input) Read(buf []byte) (int, error) {
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text := make([]byte, len(buf))
		n, err := i.file.Read(text)
		answers <- answer{text[:n], err}
	}()
	select {
	case a := <-answers:
		return copy(buf, a.text), a.err
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}

// Fd returns the file descriptor, so that callers can detect a terminal.
func (i input) Fd() uintptr { return i.file.Fd() }
