//go:build !linux

package worker

import (
	"syscall"
	"time"
)

// attributes are those of any process: the child ends when its input does.
func attributes() *syscall.SysProcAttr { return nil }

// inheritNothing leaves it to Go, whose descriptors no child inherits.
func inheritNothing() {}

// confine bounds memory as far as Go itself can. The agent runs on Linux; elsewhere only people render their own files.
func confine(l Limits) error {
	economical(l)
	return nil
}

// processorTime is unknown here; the clock bounds an exchange.
func processorTime() time.Duration { return 0 }
