// Package worker runs part of a program in a child process with limits. A hostile input then costs limited memory
// and time, and a crash of the code that reads it is only an error of that input.
//
// The parent starts a Process and talks to it in exchanges. The child is any program that calls Serve, usually the
// parent's own binary with a hidden verb. Both sides send messages as JSON, each after its length, over the child's
// standard input and output.
package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Config configures a child.
type Config struct {
	// Command is the program and its arguments.
	Command []string
	// Environment is the child's whole environment; nil means an empty one.
	Environment []string
	Limits      Limits
}

// Limits limit the resources of a child. A zero field sets no limit, except Message.
type Limits struct {
	// Memory is the limit of heap and stacks in bytes.
	Memory int64
	// CPU is the limit of processor time per exchange.
	CPU time.Duration
	// Time is the limit of wall-clock time per exchange.
	Time time.Duration
	// Message is the largest size of one message in bytes; 0 is 1 MiB.
	Message int
	// Reach limits what the child can open.
	Reach Reach
}

// Reach is what a child can open besides its standard input and output.
type Reach int

const (
	// Nothing prevents the child from opening any file or connection, where the system can enforce that.
	Nothing Reach = iota
	// Everything leaves that to the permissions of the process.
	Everything
)

// Resource is a limited resource.
type Resource string

// The limited resources.
const (
	Memory        Resource = "memory"
	ProcessorTime Resource = "processor time"
	Time          Resource = "time"
)

// LimitError is the error of an exchange in which the child reached a limit.
type LimitError struct {
	Resource Resource
	// Limit is the amount as text for users.
	Limit string
}

// Error names the resource and the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("it takes more %s than the limit of %s", e.Resource, e.Limit)
}

// MayPass reports whether the same exchange may succeed at another time. Its wall-clock time depends on the load of
// the machine.
func (e *LimitError) MayPass() bool { return e.Resource == Time }

// ErrCrashed is the error of an exchange during which the child ended for a reason other than a limit.
var ErrCrashed = errors.New("its process crashed")

// ErrPanicked is the ErrCrashed of a child whose code panicked. The same exchange probably panics again.
var ErrPanicked = fmt.Errorf("%w: its code panicked", ErrCrashed)

// Process is a child process. It runs one exchange at a time.
type Process struct {
	limits Limits
	conn   *Conn
	cmd    *exec.Cmd
	words  lastWords
	pipes  []*os.File
	// ended is closed once the process is gone and cmd.ProcessState is set.
	ended chan struct{}
}

// Start starts a child. The caller ends it with Stop; it also ends with the parent.
func Start(c Config) (*Process, error) {
	toChild, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, fromChild, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, toChild.Close(), stdin.Close())
	}
	p := &Process{limits: c.Limits, pipes: []*os.File{stdin, stdout}, ended: make(chan struct{})}
	p.conn = newConn(stdout, stdin, c.Limits.message())
	p.cmd = exec.Command(c.Command[0], c.Command[1:]...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = toChild, fromChild, &p.words
	p.cmd.WaitDelay = grace // only a child of the child could keep its standard error open
	p.cmd.Dir, p.cmd.Env = "/", append([]string{}, c.Environment...)
	p.cmd.SysProcAttr = attributes()
	err = p.run()
	if err := errors.Join(err, toChild.Close(), fromChild.Close()); err != nil {
		p.close()
		return nil, err
	}
	if err := p.conn.Send(c.Limits); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s does not take its limits: %w", c.Command[0], err)
	}
	return p, nil
}

// run starts the process, and waits for its end in the background. Linux ends a child with the parent's thread that
// started it (https://go.dev/issue/27505), so that thread is kept.
func (p *Process) run() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		inheritNothing()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // the state has the result
			close(p.ended)
		}
	}()
	return <-started
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exchange calls talk, which sends requests and receives answers. It returns the error of talk, unless the child
// was ended by ctx, by a limit (a LimitError), or by a crash (ErrCrashed). After an error the child is gone.
func (p *Process) Exchange(ctx context.Context, talk func(*Conn) error) error {
	var late atomic.Bool
	stop := context.AfterFunc(ctx, p.Stop)
	defer stop()
	if p.limits.Time > 0 {
		timer := time.AfterFunc(p.limits.Time, func() { late.Store(true); p.Stop() })
		defer timer.Stop()
	}
	err := talk(p.conn)
	if err == nil {
		return nil
	}
	died := errors.Is(err, errConnection)
	if died {
		p.awaitEnd()
	}
	p.Stop()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case late.Load():
		return &LimitError{Time, p.limits.Time.String()}
	case died:
		return p.limits.reached(p.cmd.ProcessState, p.words)
	}
	return err
}

// grace is how long a child may take to exit after its output has ended, so that its exit code is seen.
const grace = 5 * time.Second

func (p *Process) awaitEnd() {
	select {
	case <-p.ended:
	case <-time.After(grace):
	}
}

// Stop ends the child and returns when it is gone. It may be called more than once.
func (p *Process) Stop() {
	_ = p.cmd.Process.Kill() // an error means that it has ended
	<-p.ended
	p.close()
}

func (p *Process) close() {
	for _, pipe := range p.pipes {
		_ = pipe.Close() // it may be closed already
	}
}

// reached returns why a process ended by itself.
func (l Limits) reached(state *os.ProcessState, words lastWords) error {
	switch code := state.ExitCode(); {
	case code == exitProcessorTime:
		return &LimitError{ProcessorTime, l.CPU.String()}
	case code == exitRuntime && words.panicked:
		return ErrPanicked
	case code == exitMemory, code == exitRace, code == exitRuntime && words.failed:
		return &LimitError{Memory, fmt.Sprintf("%d MiB", l.Memory>>20)}
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return fmt.Errorf("%w: the system killed it, probably because memory is short; raise the memory limit of the pod", ErrCrashed)
	}
	return fmt.Errorf("%w: %s", ErrCrashed, state)
}

func (l Limits) message() int {
	if l.Message == 0 {
		return 1 << 20
	}
	return l.Message
}
