// Package hostile attacks: everything here is done with what somebody has who can push any branch, and with
// what such a branch brings. Every attempt says how it is refused, and that production felt nothing.
//
// All attempts share one agent, which has the rights of deploy/ and no others. To add one, append a row to
// a table that attempts (team_test.go) takes, or write a test with a team of its own.
package hostile

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
)

// shared is the world of all attempts.
var shared *world.World

// buildTime is the processor time that one build of a kustomization may take.
const buildTime = 10 * time.Second

// atOnce is how many attempts run beside each other. They wait more than they work.
const atOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	err := flag.Set("test.parallel", atOnce)
	var dir string
	if err == nil {
		dir, err = os.MkdirTemp("", "berth-hostile-")
	}
	if err == nil {
		defer os.RemoveAll(dir)
		shared, err = begin(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Cluster.Stop()
	code := m.Run()
	if err := shared.Agent.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// begin builds the agent while the control plane starts, and starts the agent.
func begin(ctx context.Context, dir string) (*world.World, error) {
	binary := filepath.Join(dir, "berth")
	built := make(chan error, 1)
	go func() {
		output, err := exec.Command("go", "build", "-C", filepath.Join("..", ".."), "-o", binary, "./cmd/berth").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("cannot build berth: %w: %s", err, output)
		}
		built <- err
	}()
	cluster, err := clustertest.Run(ctx, clustertest.Config{Audit: true})
	if err := errors.Join(err, <-built); err != nil {
		return nil, err
	}
	w, err := world.New(ctx, world.Config{Cluster: cluster, Dir: dir, Binary: binary, Flags: []string{"--log-level", "debug", "--kustomize-cpu", buildTime.String()}})
	if err == nil {
		err = w.Agent.Start()
	}
	if err != nil {
		cluster.Stop()
	}
	return w, err
}
