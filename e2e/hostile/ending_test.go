package hostile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// The agent ends on request, even if a branch or a Git server keeps it busy. So an update of the Deployment does not
// wait until the kubelet kills it. These tests run before the others, which share the agent.

// SIGTERM once ended neither the build nor the agent.
func TestTheAgentEndsDuringABuild(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says which processes an agent has started")
	}
	team := begins(t, "signals")
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			team := team.in(t)
			// A different size gives a different input, so it is built again.
			branch := team.pushes("attack", merging(5_000+int(signal)))
			branch.Becomes("Syncing", branch.commit, "rendering commit ")
			builds := shared.Agent.Children()
			if len(builds) == 0 {
				t.Fatal("the agent has no child that builds")
			}
			endsOn(t, signal, buildTime/2)
			world.AwaitFor(t, buildTime/2, fmt.Sprintf("the processes %d are gone", builds), func() (string, bool) {
				for _, build := range builds {
					// The file is empty after the process ended, until its parent calls wait.
					if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", build)); len(line) > 0 {
						return string(line), false
					}
				}
				return "", true
			})
			team.git.Delete("attack")
			branch.AwaitEnd()
			team.felt()
		})
	}
}

// A server that sends nothing, or never stops, has minutes until its deadline.
func TestTheAgentEndsDuringAFirstFetch(t *testing.T) {
	for _, trouble := range []struct {
		what, name string
		fault      gittest.Fault
		kind       gittest.Kind
	}{
		{"a server that does not greet", "greeting", gittest.Hang, gittest.Discovery},
		{"a listing that hangs", "listing", gittest.Hang, gittest.ListRefs},
		{"a fetch that hangs", "fetching", gittest.Hang, gittest.Fetch},
		{"a fetch without end", "unending", countingForever, gittest.Fetch},
	} {
		t.Run(trouble.what, func(t *testing.T) {
			server := gittest.NewServer(t)
			git := server.Repository(trouble.name)
			commit := git.Commit("main", map[string]string{"k8s/settings.yaml": configMap("settings")}, "begin")
			asked := make(chan struct{}, 1)
			server.Misbehave(gittest.Only(trouble.kind, func(e *gittest.Exchange) {
				select {
				case asked <- struct{}{}:
				default: // a repeated request
				}
				trouble.fault(e)
			}))
			repository := shared.Follow(lasting{t}, repositoryOf(trouble.name, git.URL()))
			t.Cleanup(repository.Remove)
			world.AwaitSignal(t, "the agent asks", asked)
			endsOn(t, syscall.SIGTERM, 30*time.Second)
			server.Behave()
			repository.Environment("main").Becomes("Healthy", commit)
		})
	}
}

// countingForever answers a fetch with endless progress messages.
func countingForever(e *gittest.Exchange) {
	const message = "\x02Counting objects\n"
	e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	_, err := fmt.Fprintf(e.Writer, "%04xpackfile\n", len("packfile\n")+4)
	for err == nil {
		_, err = fmt.Fprintf(e.Writer, "%04x%s", len(message)+4, message)
	}
}

// endsOn fails the test unless the agent ends at a signal within a time in which its work would not end. Then it restarts
// the agent.
func endsOn(t *testing.T, signal syscall.Signal, within time.Duration) {
	t.Helper()
	if err := shared.Agent.Signal(signal); err != nil {
		t.Fatal(err)
	}
	world.AwaitFor(t, within, "the agent ends on "+signal.String(), func() (string, bool) {
		return "it runs", !shared.Agent.Running()
	})
	if err := errors.Join(shared.Agent.Stop(), shared.Agent.Start()); err != nil {
		t.Fatal(err)
	}
}
