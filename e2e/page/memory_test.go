package page

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"berth.dev/berth/e2e/world"
)

var idle = flag.Bool("idle", false, "measure the memory of agents at rest in TestIdleMemory")

// TestIdleMemory measures an agent at rest that serves the page, and one that does not. Neither leads.
func TestIdleMemory(t *testing.T) {
	if !*idle {
		t.Skip("measured by go test ./page -run TestIdleMemory -idle -v")
	}
	begins(t, "idle")
	s := serves(t)
	plain := shared.Agent.Twin("plain")
	if err := plain.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Stop() })
	for name, agent := range map[string]*world.Agent{"without the page": plain, "that serves the page": s.agent} {
		anonymous, file := memoryAtRest(t, agent.PID())
		t.Logf("an agent %s: %d kB anonymous, %d kB resident", name, anonymous, anonymous+file)
	}
}

// memoryAtRest returns the memory of a process once it has not changed for a few seconds, in kB.
func memoryAtRest(t *testing.T, pid int) (anonymous, file int) {
	t.Helper()
	same := 0
	world.Await(reporter{t}, "the memory does not change", func() (string, bool) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return err.Error(), false
		}
		before := anonymous
		anonymous, file = kilobytes(string(text), "RssAnon:"), kilobytes(string(text), "RssFile:")
		if same++; anonymous != before {
			same = 0
		}
		return string(text), same == 200
	})
	return anonymous, file
}

// kilobytes returns a field of a process's status.
func kilobytes(status, field string) int {
	_, rest, _ := strings.Cut(status, field)
	value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.Atoi(value)
	return n
}
