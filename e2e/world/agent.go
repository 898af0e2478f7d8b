package world

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An Agent is "berth agent" in a process of its own. Its methods are not safe for concurrent use.
type Agent struct {
	binary, kubeconfig, stores, log string
	detached                        bool
	flags, environment              []string
	cgroup                          *Cgroup

	process *os.Process
	ended   chan struct{}
}

// Start starts the agent, which appends to the log of its predecessor, and returns when the agent has found the
// cluster.
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
	before, err := log.Stat()
	if err != nil {
		return err
	}
	arguments := append([]string{a.binary, "agent", "--kubeconfig", a.kubeconfig, "--store-dir", a.stores,
		"--metrics-address", "0", "--health-address", "0", "--webhook-address", "0"}, a.flags...)
	arguments = a.cgroup.wrap(arguments)
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Env = append(command.Environ(), a.environment...)
	command.Stdout, command.Stderr = log, log
	if a.detached {
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	} else {
		command.SysProcAttr = mortal()
	}
	started := make(chan error)
	a.ended = make(chan struct{})
	go func() {
		// Linux ends a mortal child when the thread that started it ends.
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
	return a.awaitLog(before.Size(), "msg=starting")
}

// awaitLog waits until the log contains a text after an offset.
func (a *Agent) awaitLog(offset int64, text string) error {
	late, ticker := time.NewTimer(patience), time.NewTicker(interval)
	defer late.Stop()
	defer ticker.Stop()
	for {
		// Read this before the log, because the agent may log why it ends.
		running := a.Running()
		content, err := os.ReadFile(a.log)
		if err != nil {
			return err
		}
		said := string(content[min(offset, int64(len(content))):])
		switch {
		case strings.Contains(said, text):
			return nil
		case !running:
			return fmt.Errorf("cannot start the agent: %s", strings.TrimSpace(said))
		}
		select {
		case <-ticker.C:
		case <-late.C:
			return fmt.Errorf("cannot start the agent: %w: %s", errImpatient, strings.TrimSpace(said))
		}
	}
}

// Twin returns another agent of the same installation, with its own stores, log and additional flags. It is not started.
func (a *Agent) Twin(name string, flags ...string) *Agent {
	return &Agent{binary: a.binary, kubeconfig: a.kubeconfig, stores: a.stores + "-" + name, log: a.log + "." + name, flags: slices.Concat(a.flags, flags), environment: a.environment}
}

// Running reports whether the agent's process exists, frozen or not.
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

// Children returns the process ids of the agent's running children. It returns none on systems other than Linux.
func (a *Agent) Children() (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", a.PID()))
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has just ended
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// LogFile returns the path of the log.
func (a *Agent) LogFile() string { return a.log }

// Kill ends the agent without warning, as a power cut does.
func (a *Agent) Kill() error { return a.end(syscall.SIGKILL) }

// Stop asks the agent to end, and waits for it.
func (a *Agent) Stop() error { return a.end(syscall.SIGTERM) }

// Signal sends a signal, and does not wait for its effect. If the agent ends, Stop must still be called to clean up.
func (a *Agent) Signal(signal syscall.Signal) error { return a.process.Signal(signal) }

// Freeze suspends the agent until Thaw.
func (a *Agent) Freeze() error { return a.process.Signal(syscall.SIGSTOP) }

// Thaw resumes a frozen agent.
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

// Log returns the lines of the log that contain a text.
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
