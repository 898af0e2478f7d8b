package controlplane

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// restartDelay is the pause before a part that ended is restarted, as with a kubelet.
const restartDelay = time.Second

// A process is one part, run by this same program with the part's name as first argument. It reads its standard input,
// which never has data, and ends when that closes. So it ends with this process, even if that is killed.
type process struct {
	part part
	log  string
	pid  string

	command *exec.Cmd
	input   io.Closer
}

func newProcess(dir string, p part) *process {
	return &process{
		part: p,
		log:  filepath.Join(dir, p.name+".log"),
		pid:  filepath.Join(dir, p.name+".pid"),
	}
}

// start starts the part and returns a channel that receives its exit.
func (p *process) start() (<-chan error, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, p.part.arguments()...)
	command.Stdout, command.Stderr = log, log
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", p.part.name, err)
	}
	p.command, p.input = command, input
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	return ended, os.WriteFile(p.pid, fmt.Appendln(nil, command.Process.Pid), 0o600)
}

// supervise restarts the part whenever it ends, until ctx is done. Then it kills the part, because none of its state is
// needed. A part that ends before ready is closed is not restarted; its end is the returned error.
func (p *process) supervise(ctx context.Context, ready <-chan struct{}) error {
	for {
		ended, err := p.start()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			p.kill()
			<-ended
			return nil
		case err := <-ended:
			p.input.Close()
			select {
			case <-ready:
			default:
				return fmt.Errorf("%s ended (%v) before the cluster was ready; its last words in %s:\n%s",
					p.part.name, err, p.log, lastLines(p.log))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartDelay):
		}
	}
}

func (p *process) kill() {
	_ = p.command.Process.Kill()
	p.input.Close()
}

// lastLines returns the end of a log, which shows the reason of a failure.
func lastLines(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
