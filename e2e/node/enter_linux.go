package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// Enter runs this program again with the same arguments, as the first process in new namespaces, and returns its exit
// code. When that process ends, the kernel ends all others in these namespaces, containers included.
func Enter() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	command := exec.Command(self, os.Args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), inside+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = command.Run()
	clearCgroups()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// cgroups are those that a kubelet and containerd create. They belong to no namespace here, and stay behind empty.
var cgroups = []string{"kubepods", "k8s.io"}

// clearCgroups removes the empty ones of these cgroups, in every hierarchy.
func clearCgroups() {
	const root = "/sys/fs/cgroup"
	hierarchies, _ := filepath.Glob(root + "/*")
	for _, hierarchy := range append(hierarchies, root) {
		for _, name := range cgroups {
			var all []string
			_ = filepath.WalkDir(filepath.Join(hierarchy, name), func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					all = append(all, path)
				}
				return nil
			})
			for _, path := range slices.Backward(all) {
				_ = os.Remove(path)
			}
		}
	}
}

// settle prepares the namespaces. Mounts in here do not show outside, only the processes in here are visible, and the
// fixed paths of CNI and containerd are private.
func settle() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	for _, dir := range []string{"/run/netns", "/var/lib/cni"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("cannot mount %s: %w", dir, err)
		}
	}
	return connect()
}

// connect creates the bridge of the pods, and routes the traffic to Services there.
func connect() error {
	for _, arguments := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", bridge, "type", "bridge"},
		{"addr", "add", Address + "/24", "dev", bridge},
		{"link", "set", bridge, "up"},
		{"route", "add", services, "dev", bridge},
	} {
		if output, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", arguments, err, output)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}
