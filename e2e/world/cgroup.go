package world

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Cgroup bounds the memory of an agent and its children together, as the kubelet bounds that of a container. Beyond
// the limit, the kernel kills processes.
type Cgroup struct {
	dir string
	// names are the names of the files in this version of cgroups.
	names cgroupNames
}

// cgroupNames are the names of files, and of fields in them, in one version of cgroups.
type cgroupNames struct {
	limit, swap, peak    string
	events, kills, usage string
}

var (
	cgroupV1 = cgroupNames{limit: "memory.limit_in_bytes", swap: "memory.memsw.limit_in_bytes", peak: "memory.max_usage_in_bytes",
		events: "memory.oom_control", kills: "oom_kill", usage: "total_rss"}
	cgroupV2 = cgroupNames{limit: "memory.max", swap: "memory.swap.max", peak: "memory.peak",
		events: "memory.events", kills: "oom_kill", usage: "anon"}
)

// NewCgroup creates a cgroup with a limit in bytes. Its error says why this system or this user cannot create one.
func NewCgroup(limit int64) (*Cgroup, error) {
	parents, err := cgroupParents()
	if err != nil {
		return nil, fmt.Errorf("cannot limit memory: %w", err)
	}
	var reasons []error
	for _, parent := range parents {
		cgroup, err := parent.child(limit)
		if err == nil {
			return cgroup, nil
		}
		reasons = append(reasons, err)
	}
	return nil, fmt.Errorf("cannot limit memory: %w", errors.Join(reasons...))
}

// cgroupParents returns the cgroups in which a limited one might be created: that of this process, and its parent.
// Version 2 may allow it in the parent, because it refuses it in a cgroup that has processes.
func cgroupParents() (parents []Cgroup, err error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(own)) {
		// hierarchy:controllers:path
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		names, kind := cgroupV2, "cgroup2"
		if fields[1] != "" {
			names, kind = cgroupV1, "cgroup"
			if !slices.Contains(strings.Split(fields[1], ","), "memory") {
				continue
			}
		}
		if root := mountOf(mounts, kind); root != "" {
			parents = append(parents, Cgroup{filepath.Join(root, fields[2]), names})
			if names == cgroupV2 && fields[2] != "/" {
				parents = append(parents, Cgroup{filepath.Join(root, filepath.Dir(fields[2])), names})
			}
		}
	}
	if len(parents) == 0 {
		return nil, errors.New("no cgroups are mounted that control memory")
	}
	return parents, nil
}

// mountOf returns the mount point of a kind of cgroups. For version 1 that is the hierarchy that controls memory.
func mountOf(mounts []byte, kind string) string {
	lines := bufio.NewScanner(bytes.NewReader(mounts))
	for lines.Scan() {
		// id parent device root MOUNT options … - KIND source SUPEROPTIONS
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields, about := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(about) < 3 || about[0] != kind {
			continue
		}
		if kind != "cgroup" || slices.Contains(strings.Split(about[2], ","), "memory") {
			return fields[4]
		}
	}
	return ""
}

// child creates a cgroup within this one.
func (c Cgroup) child(limit int64) (*Cgroup, error) {
	dir, err := os.MkdirTemp(c.dir, "berth-")
	if err != nil {
		return nil, err
	}
	child := &Cgroup{dir, c.names}
	if err := child.write(c.names.limit, strconv.FormatInt(limit, 10)); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	// Disable swap, as on most nodes. Without swap accounting, there is no such file.
	swap := "0"
	if c.names == cgroupV1 { // memory and swap together
		swap = strconv.FormatInt(limit, 10)
	}
	_ = child.write(c.names.swap, swap)
	return child, nil
}

func (c *Cgroup) write(name, text string) error {
	// The kernel provides the file. It must not be created if the controller is missing.
	file, err := os.OpenFile(filepath.Join(c.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// wrap returns a command that runs the given command in the cgroup from its start, with the same process id.
func (c *Cgroup) wrap(command []string) []string {
	if c == nil {
		return command
	}
	return append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(c.dir, "cgroup.procs")}, command...)
}

// Kills returns how many processes the kernel has killed because of the limit.
func (c *Cgroup) Kills() (int64, error) { return c.field(c.names.events, c.names.kills) }

// Anonymous returns the memory in bytes that the kernel cannot reclaim from the processes.
func (c *Cgroup) Anonymous() (int64, error) { return c.field("memory.stat", c.names.usage) }

// Peak returns the highest use of memory in bytes. It includes cached files, which the kernel reclaims first.
func (c *Cgroup) Peak() (int64, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, c.names.peak))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// field reads a number from a file that has a name and a number in each line.
func (c *Cgroup) field(file, name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no field %s", filepath.Join(c.dir, file), name)
}

// Remove removes the cgroup. Its processes must have ended.
func (c *Cgroup) Remove() error {
	if c == nil {
		return nil
	}
	var err error
	// The kernel may still be cleaning up the last process.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(interval) {
		if err = os.Remove(c.dir); err == nil {
			return nil
		}
	}
	return err
}
