package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTicks is Linux' USER_HZ, which is 100 on every architecture that Go runs on.
const clockTicks = 100

// process holds the CPU times of a process from /proc.
type process struct {
	pid, parent int
	// own is the CPU time of the process in user and kernel mode. inherited is that of its children that have ended.
	own, inherited time.Duration
}

// processOf reads the CPU times of a process from the kernel.
func processOf(pid int) (process, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The name, in parentheses, may contain anything; field 3, the state, follows it.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return process{}, fmt.Errorf("reading /proc/%d/stat: it is too short", pid)
	}
	var numbers [5]int
	for i, field := range append(fields[1:2], fields[11:15]...) {
		if numbers[i], err = strconv.Atoi(field); err != nil {
			return process{}, fmt.Errorf("reading /proc/%d/stat: %w", pid, err)
		}
	}
	ticks := func(n int) time.Duration { return time.Duration(n) * time.Second / clockTicks }
	return process{pid: pid, parent: numbers[0], own: ticks(numbers[1] + numbers[2]), inherited: ticks(numbers[3] + numbers[4])}, nil
}

// familyTime returns the CPU time of this process and its descendants: clients, control plane and Git server together.
func familyTime() (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	children := map[int][]process{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, err := processOf(pid); err == nil { // otherwise it has just ended
			children[p.parent] = append(children[p.parent], p)
		}
	}
	self, err := processOf(os.Getpid())
	if err != nil {
		return 0, err
	}
	family, total := []process{self}, time.Duration(0)
	for len(family) > 0 {
		p := family[0]
		family = append(family[1:], children[p.pid]...)
		total += p.own + p.inherited
	}
	return total, nil
}

// memory is the memory of a process, in megabytes.
type memory struct {
	// anonymous is the memory of the process alone, resident its whole resident set.
	anonymous, resident float64
	// proportional is resident, with only a share of each page that other processes use too.
	proportional float64
}

// memoryOf reads the memory of a process from the kernel.
func memoryOf(pid int) (m memory, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		kilobytes, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			continue // the address
		}
		megabytes := kilobytes * 1024 / 1e6
		switch fields[0] {
		case "Anonymous:":
			m.anonymous = megabytes
		case "Rss:":
			m.resident = megabytes
		case "Pss:":
			m.proportional = megabytes
		}
	}
	return m, nil
}
