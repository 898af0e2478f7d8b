package worker

import (
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The exit codes of a child. Go itself ends a program with exitRuntime that has no more memory or overflows its stack.
const (
	exitDone          = 0
	exitRuntime       = 2
	exitRace          = 66 // the same, with the race detector
	exitProtocol      = 70
	exitMemory        = 71
	exitProcessorTime = 72
)

// Serve is all that a child does: it takes its limits from the parent, confines the process to them, and calls handle
// for each exchange until the parent ends. It returns the code to exit with, at once and whatever handle is doing; a
// program that calls it does nothing else.
func Serve(in io.Reader, out io.Writer, handle func(*Conn) error) (code int) {
	var l Limits
	if err := newConn(oneByte{in}, out, 1<<10).Receive(&l); err != nil {
		return exitProtocol
	}
	if err := confine(l); err != nil {
		return exitProtocol
	}
	done := make(chan int, 3)
	requests, feed := io.Pipe()
	go func() { // reads all the time, since the end of the input is that of the parent
		_, _ = io.Copy(feed, in)
		done <- exitDone
	}()
	go serve(newConn(requests, out, l.message()), l, handle, done)
	return <-done
}

// oneByte reads a byte at a time, so that a buffer around it takes nothing beyond the message.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

func serve(conn *Conn, l Limits, handle func(*Conn) error, done chan<- int) {
	for {
		if _, err := conn.in.Peek(1); err != nil {
			return // Serve has seen the end
		}
		stop := watch(l, done)
		err := handle(conn)
		stop()
		if err != nil {
			done <- exitProtocol
			return
		}
	}
}

// lookEvery is how often a child looks at what it takes.
const lookEvery = 10 * time.Millisecond

// watch ends the child once an exchange has taken more than the limits.
func watch(l Limits, done chan<- int) (stop func()) {
	ended := make(chan struct{})
	before := processorTime()
	go func() {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
			switch {
			case l.CPU > 0 && processorTime()-before > l.CPU:
				done <- exitProcessorTime
				return
			case l.Memory > 0 && memory() > l.Memory:
				done <- exitMemory
				return
			}
		}
	}()
	return func() { close(ended) }
}

// memory returns how much memory Go holds.
func memory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64()) - int64(samples[1].Value.Uint64())
}

// economical has Go collect garbage rather than exceed the limit, on one processor, so that a child does not take
// those of its parent.
func economical(l Limits) {
	runtime.GOMAXPROCS(1)
	if l.Memory > 0 {
		debug.SetMemoryLimit(l.Memory / 10 * 9)
		debug.SetMaxStack(int(l.Memory / 2))
	}
}
