package worker

import (
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The exit codes of a child. The Go runtime exits with exitRuntime after a panic, and if memory or the stack runs out.
// lastWords tells these apart.
const (
	exitDone          = 0
	exitRuntime       = 2
	exitRace          = 66 // memory ran out, with the race detector
	exitProtocol      = 70
	exitMemory        = 71
	exitProcessorTime = 72
)

// Serve is the main function of a child. It receives its limits from the parent, confines the process to them, and
// calls handle for each exchange until the parent ends. It returns the exit code. The program must then exit at
// once, even while handle runs.
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
	go func() { // reads all the time, because the end of the input means the end of the parent
		_, _ = io.Copy(feed, in)
		done <- exitDone
	}()
	go serve(newConn(requests, out, l.message()), l, handle, done)
	return <-done
}

// oneByte reads one byte at a time, so that a buffer around it reads nothing beyond the message.
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

// lookEvery is how often a child checks its use of resources.
const lookEvery = 10 * time.Millisecond

// watch ends the child once an exchange has exceeded the limits.
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
			case l.Memory > 0 && memory() > l.Memory && memoryInUse() > l.Memory:
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

// memoryInUse returns how much memory Go holds after a garbage collection. On a busy machine the collector falls behind, and what
// Go holds is mostly garbage.
func memoryInUse() int64 {
	debug.FreeOSMemory()
	return memory()
}

// economical makes Go collect garbage rather than exceed the limit. It uses one processor, and leaves the others to
// the parent.
func economical(l Limits) {
	runtime.GOMAXPROCS(1)
	if l.Memory > 0 {
		debug.SetMemoryLimit(l.Memory / 10 * 9)
		debug.SetMaxStack(int(l.Memory / 2))
	}
}
