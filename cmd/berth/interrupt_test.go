package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C was once ignored while a command read its standard input.
func TestASignalEndsACommandThatReadsItsInput(t *testing.T) {
	for _, args := range [][]string{
		{"health", "-f", "-"},
		{"render", "--repository", "-", "--branch", "main"},
	} {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(args[0]+" "+signal.String(), func(t *testing.T) {
				c := starts(t, args...)
				// This is more than a pipe holds, so that writing all of it shows that the command reads.
				if _, err := c.in.Write(make([]byte, 1<<20)); err != nil {
					t.Fatal(err)
				}
				c.endsOn(signal)
			})
		}
	}
}

// A build may take as long as its limits allow, but its process ends with the command.
func TestASignalEndsACommandThatBuilds(t *testing.T) {
	dir := t.TempDir()
	variables := func(name string) string {
		text := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  template:\n    spec:\n      containers:\n      - name: api\n        env:\n"
		for i := range 20_000 {
			text += fmt.Sprintf("        - {name: %s%d, value: b}\n", name, i)
		}
		return text
	}
	for name, text := range map[string]string{
		"kustomization.yaml": "resources: [app.yaml]\npatches: [{path: patch.txt}]\n",
		"app.yaml":           variables("A"),
		"patch.txt":          variables("B"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			c := starts(t, "render", "--root", dir, "--path", dir, "--branch", "main")
			var builds []string
			awaits(t, "the build has begun", func() bool {
				builds = c.children()
				return len(builds) > 0
			})
			c.endsOn(signal)
			awaits(t, fmt.Sprintf("the processes %s are gone", builds), func() bool {
				for _, pid := range builds {
					if line, _ := os.ReadFile("/proc/" + pid + "/cmdline"); len(line) > 0 { // a zombie has none
						return false
					}
				}
				return true
			})
		})
	}
}

// command is a berth command that runs as a process.
type command struct {
	t      *testing.T
	in     io.WriteCloser
	err    logbook
	pid    int
	ended  chan struct{}
	result *exec.Cmd
}

func starts(t *testing.T, args ...string) *command {
	t.Helper()
	c := &command{t: t, ended: make(chan struct{}), result: exec.Command("berth", args...)}
	c.result.Stderr = &c.err
	var err error
	if c.in, err = c.result.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.result.Start(); err != nil {
		t.Fatal(err)
	}
	c.pid = c.result.Process.Pid
	go func() {
		_ = c.result.Wait() // the state has the result
		close(c.ended)
	}()
	t.Cleanup(func() {
		_ = c.result.Process.Kill() // it has ended unless the test failed
		<-c.ended
		if t.Failed() {
			t.Logf("berth %q said %q", args, &c.err)
		}
	})
	return c
}

// endsOn fails the test unless the command ends and reports that it was interrupted.
func (c *command) endsOn(signal syscall.Signal) {
	c.t.Helper()
	if err := c.result.Process.Signal(signal); err != nil {
		c.t.Fatal(err)
	}
	awaits(c.t, "the command ends on "+signal.String(), func() bool {
		select {
		case <-c.ended:
			return true
		default:
			return false
		}
	})
	if code := c.result.ProcessState.ExitCode(); code != exitFailed || c.err.String() != "berth: interrupted\n" {
		c.t.Errorf("it ends with %s, and says %q", c.result.ProcessState, &c.err)
	}
}

// children returns the ids of the processes that the command started.
func (c *command) children() (pids []string) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", c.pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread may have just ended
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

// awaits polls until a condition holds. A build of the test's size would take much longer.
func awaits(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline, ticker := time.NewTimer(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer deadline.Stop()
	defer ticker.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("it is not so that %s", what)
		}
	}
}
