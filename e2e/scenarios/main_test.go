// Package scenarios holds what teams experience with Berth, on a real control plane. The agent is real, too, and has
// only the rights of its ServiceAccount.
//
// All scenarios share one agent, each with its own Git server, Repository and namespaces. Scenarios that affect the
// agent, or count its requests, run before the others.
package scenarios

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/loopback"
)

// shared is the world of all scenarios.
var shared *world.World

// binary is the path of berth. scratch is the folder for everything that the agent writes, including temporary files.
var binary, scratch string

// metrics, profiles and hooks are the addresses at which the agent serves them. vault is an address at which no server
// listens until a scenario starts one; its keys below sops may decrypt.
var metrics, profiles, hooks, vault string

// atOnce is how many scenarios run concurrently. They wait more than they work.
const atOnce = 8

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
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
	code := clustertest.Parallel(m, atOnce)
	if err := shared.Agent.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// begin builds the agent while the control plane starts, and starts the agent.
func begin(ctx context.Context, dir string) (*world.World, error) {
	binary, scratch = filepath.Join(dir, "berth"), filepath.Join(dir, "agent")
	built := make(chan error, 1)
	go func() {
		_, err := world.Build(dir)
		built <- err
	}()
	cluster, err := clustertest.Run(ctx, clustertest.Config{Audit: true})
	if err := errors.Join(err, <-built); err != nil {
		return nil, err
	}
	for _, address := range []*string{&metrics, &profiles, &hooks, &vault} {
		if err == nil {
			*address, err = loopback.Claim()
		}
	}
	if err == nil {
		err = os.MkdirAll(scratch, 0o700)
	}
	var w *world.World
	if err == nil {
		flags := []string{"--metrics-address", metrics, "--pprof-address", profiles, "--webhook-address", hooks,
			"--allow-vault", "http://" + vault + "/v1/sops", "--log-level", "debug"}
		w, err = world.New(ctx, world.Config{Cluster: cluster, Dir: scratch, Binary: binary, Flags: flags})
	}
	if err == nil {
		err = startIn(w, scratch)
	}
	if err != nil {
		cluster.Stop()
	}
	return w, err
}

// startIn starts the agent with a folder of its own for temporary files.
func startIn(w *world.World, dir string) error {
	before, had := os.LookupEnv("TMPDIR")
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return err
	}
	err := w.Agent.Start()
	if had {
		return errors.Join(err, os.Setenv("TMPDIR", before))
	}
	return errors.Join(err, os.Unsetenv("TMPDIR"))
}
