package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"sync"
	"time"
)

// streamExchange talks to an upload-pack program over its standard input and output. The server only answers
// requests, so no reader reads beyond a greeting or an answer.
type streamExchange struct {
	in        io.WriteCloser
	out       io.Reader
	complaint *complaint
	wait      func() error // waits for the program's end, and for all its output
	kill      func()
}

func (x *streamExchange) greet() (io.Reader, error) { return x, nil }

func (x *streamExchange) request(body []byte) (io.Reader, error) {
	if _, err := x.in.Write(body); err != nil {
		return nil, x.because(err)
	}
	return x, nil
}

// Read reads the answer. If the program ends, its output explains the error.
func (x *streamExchange) Read(buf []byte) (int, error) {
	n, err := x.out.Read(buf)
	if err != nil {
		err = x.because(err)
	}
	return n, err
}

func (x *streamExchange) because(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
		_ = x.wait() // its output counts, not its exit code
	}
	if text := x.complaint.text(); text != "" {
		return remoteError(text)
	}
	return err
}

func (x *streamExchange) Close() error {
	_ = x.in.Close()
	x.kill()
	_ = x.wait() // the exit code of an unneeded program does not matter
	return nil
}

// complaint keeps the beginning of a program's standard error.
type complaint struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (c *complaint) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if missing := 4096 - c.data.Len(); missing > 0 {
		c.data.Write(data[:min(missing, len(data))])
	}
	return len(data), nil
}

func (c *complaint) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return printable(c.data.Bytes())
}

// localTransport runs the git program of this machine on a folder of this machine.
type localTransport struct{ path string }

func (localTransport) stateless() bool { return false }
func (localTransport) close()          {}

func (t localTransport) connect(ctx context.Context) (exchange, error) {
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, "git", "upload-pack", t.path)
	command.Env = append(command.Environ(), "GIT_PROTOCOL=version=2")
	command.WaitDelay = time.Second
	x := &streamExchange{complaint: &complaint{}}
	command.Stderr = x.complaint
	var err error
	if x.in, err = command.StdinPipe(); err == nil {
		x.out, err = command.StdoutPipe()
	}
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		cancel()
		return nil, &fault{reason: Unreachable, cause: "the git program cannot be started: " + err.Error(), err: err}
	}
	x.wait, x.kill = sync.OnceValue(command.Wait), cancel
	return x, nil
}
