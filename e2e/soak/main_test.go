// Package soak lets one agent work for a long time, and fails if its memory, goroutines or open files grow. Branches come and
// go, commits are pushed, files are decrypted, and drift is corrected.
package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/loopback"
)

// By default the test only shows that it works; make soak runs the long one.
var during = flag.Duration("during", 10*time.Second, "for how long the agent works")

var (
	shared *world.World
	// hooks and profiles are the agent's addresses for webhooks and for profiles.
	hooks, profiles string
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-soak-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = begin(context.Background(), dir)
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
func begin(ctx context.Context, dir string) error {
	built := make(chan error, 1)
	go func() {
		_, err := world.Build(dir)
		built <- err
	}()
	cluster, err := clustertest.Run(ctx, clustertest.Config{})
	if err := errors.Join(err, <-built); err != nil {
		return err
	}
	if err := install(ctx, world.Config{Cluster: cluster, Dir: dir, Binary: filepath.Join(dir, "berth")}); err != nil {
		cluster.Stop()
		return err
	}
	return nil
}

func install(ctx context.Context, config world.Config) (err error) {
	for _, address := range []*string{&hooks, &profiles} {
		if *address, err = loopback.Claim(); err != nil {
			return err
		}
	}
	config.Flags = []string{"--webhook-address", hooks, "--pprof-address", profiles}
	if shared, err = world.New(ctx, config); err != nil {
		return err
	}
	return shared.Agent.Start()
}
