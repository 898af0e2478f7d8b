package node_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/e2e/world"
)

// exhaust lets the kernel kill the agent for its memory, and returns when it did. The caller has lowered the limit of its container.
// Answers with metrics take memory, above all many at once.
func exhaust(t *testing.T, pod corev1.Pod, pid int) time.Time {
	t.Helper()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	world.AwaitFor(t, limit, "the kernel kills the agent", func() (string, bool) {
		var asking sync.WaitGroup
		for range 200 {
			asking.Go(func() {
				if answer, err := client.Get("http://" + pod.Status.PodIP + ":8080/metrics"); err == nil {
					answer.Body.Close()
				}
			})
		}
		asking.Wait()
		_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
		return "it lives", err != nil
	})
	return time.Now()
}

// limitMemory lowers the limit of a process' container to a little more than what it holds.
func limitMemory(t *testing.T, pid int) {
	t.Helper()
	dir, held, file := memoryCgroup(t, pid)
	stat, err := os.Open(filepath.Join(dir, "memory.stat"))
	if err != nil {
		t.Fatal(err)
	}
	defer stat.Close()
	var bytes int64
	for lines := bufio.NewScanner(stat); lines.Scan(); {
		if value, is := strings.CutPrefix(lines.Text(), held+" "); is {
			bytes, err = strconv.ParseInt(value, 10, 64)
		}
	}
	if err != nil || bytes == 0 {
		t.Fatalf("%s does not say how much memory the agent holds: %v", stat.Name(), err)
	}
	// The kernel refuses a limit below what it cannot reclaim, of which the kernel's own share is not in held.
	world.Await(t, "the kernel limits the memory", func() (string, bool) {
		bytes += 4 << 20
		err := os.WriteFile(filepath.Join(dir, file), fmt.Append(nil, bytes), 0o644)
		return fmt.Sprint(bytes, " bytes: ", err), err == nil
	})
	t.Logf("the agent may hold %d MiB", bytes>>20)
}

// memoryCgroup returns the folder of a process' cgroup that limits memory, the entry of its memory.stat for what cannot be
// reclaimed, and the file with the limit. There are two versions of cgroups.
func memoryCgroup(t *testing.T, pid int) (dir, held, file string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	const root = "/sys/fs/cgroup"
	for line := range strings.Lines(string(text)) {
		controllers, path, _ := strings.Cut(strings.TrimSpace(line[strings.Index(line, ":")+1:]), ":")
		if controllers == "memory" {
			return filepath.Join(root, "memory", path), "total_rss", "memory.limit_in_bytes"
		}
		if controllers == "" {
			dir, held, file = filepath.Join(root, path), "anon", "memory.max"
		}
	}
	return dir, held, file
}
