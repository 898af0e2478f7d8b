// Package scenarios holds what a team lives through with Berth, on a real control plane and with the real
// agent, which has the rights of its ServiceAccount and no others.
//
// All scenarios share one agent, each with a Git server, a Repository and namespaces of its own. Those that
// do something to the agent, or count its requests, run before the others.
package scenarios

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
)

// shared is the world of all scenarios.
var shared *world.World

// atOnce is how many scenarios run beside each other. They wait more than they work.
const atOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "berth-scenarios-")
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
	binary, built := filepath.Join(dir, "berth"), make(chan error, 1)
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
	w, err := world.New(ctx, world.Config{Cluster: cluster, Dir: dir, Binary: binary})
	if err == nil {
		err = w.Agent.Start()
	}
	if err != nil {
		cluster.Stop()
	}
	return w, err
}
