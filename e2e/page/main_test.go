// Package page opens the page of `berth ui` in a real browser, beside a real control plane and agent.
package page

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

// shared is the world of all tests, and binary the path of berth.
var (
	shared *world.World
	binary string
)

// browser is the path of Chromium, and missing why there is none.
var browser, missing = findBrowser()

func findBrowser() (path, missing string) {
	if _, err := os.Stat(filepath.FromSlash(axeFile)); err != nil {
		return "", "there is no axe-core; make browser-packages brings it, and Chromium"
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, ""
		}
	}
	return "", "there is no Chromium; make browser-packages installs it"
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if missing != "" {
		return m.Run() // each test says that it is skipped
	}
	dir, err := os.MkdirTemp("", "berth-page-")
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
	built := make(chan error, 1)
	go func() {
		var err error
		binary, err = world.Build(dir)
		built <- err
	}()
	cluster, err := clustertest.Run(ctx, clustertest.Config{})
	if err := errors.Join(err, <-built); err != nil {
		return nil, err
	}
	w, err := world.New(ctx, world.Config{Cluster: cluster, Dir: filepath.Join(dir, "agent"), Binary: binary, Flags: []string{"--leader-elect"}})
	if err == nil {
		err = w.Agent.Start()
	}
	if err != nil {
		cluster.Stop()
	}
	return w, err
}
