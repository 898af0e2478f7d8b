//go:build !linux

package worker

import (
	"syscall"
	"time"
)

// attributes are the defaults: the child ends when its input ends.
func attributes() *syscall.SysProcAttr { return nil }

// inheritNothing does nothing, because no child inherits Go's descriptors.
func inheritNothing() {}

// confine limits memory as far as Go itself can. The agent runs on Linux; on other systems users only render their
// own files.
func confine(l Limits) error {
	economical(l)
	return nil
}

// processorTime is unknown here; the clock limits an exchange.
func processorTime() time.Duration { return 0 }
