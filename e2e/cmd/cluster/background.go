package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errRunning says that a process holds the directory.
var errRunning = errors.New("a cluster runs there")

// claim reserves a directory for this process until release, and writes the process id into it. A lock, unlike a file
// alone, ends with its process.
func claim(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(lockPath(dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	release = func() { lock.Close() }
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		release()
		return nil, fmt.Errorf("cannot use %q: %w", dir, errRunning)
	}
	if err := lock.Truncate(0); err != nil {
		release()
		return nil, err
	}
	if _, err := fmt.Fprintln(lock, os.Getpid()); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func lockPath(dir string) string { return filepath.Join(dir, "cluster.lock") }

// running reports whether a process holds the directory.
func running(dir string) bool {
	lock, err := os.Open(lockPath(dir))
	if err != nil {
		return false
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

// up starts "run" in a session of its own and forwards its output until it is ready. Later output is dropped.
func up(ctx context.Context, o options, arguments []string) error {
	if running(o.dir) {
		fmt.Println(filepath.Join(o.dir, "kubeconfig"))
		return nil
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(o.dir, "cluster.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	started := time.Now()
	command := exec.Command(self, append([]string{"run", "--background"}, arguments...)...)
	command.Stderr = log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("cannot start the cluster: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGTERM) })()
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		elapsed := time.Since(started).Seconds()
		kubeconfig, ready := strings.CutPrefix(lines.Text(), "ready ")
		if ready {
			fmt.Printf("%5.1f s  ready\n%s\n", elapsed, kubeconfig)
			return command.Process.Release()
		}
		fmt.Printf("%5.1f s  %s\n", elapsed, lines.Text())
	}
	_ = command.Wait()
	reason, _ := os.ReadFile(log.Name())
	return fmt.Errorf("cannot start the cluster: %s", strings.TrimSpace(string(reason)))
}

// down ends the cluster of a directory and waits for its end.
func down(ctx context.Context, dir string) error {
	for signal := syscall.SIGTERM; running(dir); {
		text, err := os.ReadFile(lockPath(dir))
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return fmt.Errorf("reading the process id in %q: %w", lockPath(dir), err)
		}
		// The process may have ended already; the next check notices that.
		_ = syscall.Kill(pid, signal)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
