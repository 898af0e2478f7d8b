package world

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// An Agent is "berth agent" as a process of its own. Its methods are for one goroutine.
type Agent struct {
	binary, kubeconfig, stores, log string
	detached                        bool
	flags                           []string

	process *os.Process
	ended   chan struct{}
}

// Start starts the agent, which goes on with the log of the one before.
func (a *Agent) Start() error {
	if a.process != nil {
		return errors.New("cannot start the agent: it runs")
	}
	if err := os.MkdirAll(a.stores, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(a.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	arguments := append([]string{"agent", "--kubeconfig", a.kubeconfig, "--store-dir", a.stores,
		"--metrics-address", "0", "--health-address", "0", "--webhook-address", "0"}, a.flags...)
	command := exec.Command(a.binary, arguments...)
	command.Stdout, command.Stderr = log, log
	if a.detached {
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	} else {
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	started := make(chan error)
	a.ended = make(chan struct{})
	go func() {
		// The kernel takes the end of the thread for the end of this process.
		runtime.LockOSThread()
		started <- command.Start()
		if command.Process != nil {
			_ = command.Wait()
		}
		close(a.ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("cannot start the agent: %w", err)
	}
	a.process = command.Process
	return nil
}

// Running says whether the agent runs, frozen or not.
func (a *Agent) Running() bool {
	if a.process == nil {
		return false
	}
	select {
	case <-a.ended:
		return false
	default:
		return true
	}
}

// PID returns the process id.
func (a *Agent) PID() int { return a.process.Pid }

// LogFile returns the path of the log.
func (a *Agent) LogFile() string { return a.log }

// Kill ends the agent as a power cut does.
func (a *Agent) Kill() error { return a.end(syscall.SIGKILL) }

// Stop asks the agent to end, and waits for it.
func (a *Agent) Stop() error { return a.end(syscall.SIGTERM) }

// Freeze stops the agent where it is, until Thaw.
func (a *Agent) Freeze() error { return a.process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen agent go on.
func (a *Agent) Thaw() error { return a.process.Signal(syscall.SIGCONT) }

func (a *Agent) end(signal os.Signal) error {
	if a.process == nil {
		return nil
	}
	if err := a.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-a.ended
	a.process = nil
	return nil
}

// Log returns the lines of the log that have a text in them.
func (a *Agent) Log(text string) string {
	content, err := os.ReadFile(a.log)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
