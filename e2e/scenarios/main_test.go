// Package scenarios holds what teams experience with Berth, on a real control plane. The agent is real, too, and has
// only the rights of its ServiceAccount.
//
// All scenarios share one agent, each with its own Git server, Repository and namespaces. Scenarios that affect the
// agent, or count its requests, run before the others.
package scenarios

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/loopback"
)

// shared is the world of all scenarios.
var shared *world.World

// binary is the path of berth. scratch is the folder for everything that the agent writes, including temporary files.
var binary, scratch string

// metrics, profiles and hooks are the addresses at which the agent serves them. vault is an address at which no server
// listens until a scenario starts one; its keys below sops may decrypt.
var metrics, profiles, hooks, vault string

// registryAddress is the host of the images that scenarios publish.
var registryAddress string

// atOnce is how many scenarios run concurrently. They wait more than they work.
const atOnce = 8

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(world.Suite{Name: "scenarios", AtOnce: atOnce, Begin: begin}.Run(m))
}

func begin(ctx context.Context, c world.Config) (_ *world.World, err error) {
	binary, scratch = c.Binary, filepath.Join(c.Dir, "agent")
	for _, address := range []*string{&metrics, &profiles, &hooks, &vault, &registryAddress} {
		if *address, err = loopback.Claim(); err != nil {
			return nil, err
		}
	}
	if err := sellImages(registryAddress); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	c.Dir, c.Environment = scratch, []string{"TMPDIR=" + scratch}
	c.Flags = []string{"--metrics-address", metrics, "--pprof-address", profiles, "--webhook-address", hooks,
		"--allow-vault", "http://" + vault + "/v1/sops", "--registry-insecure", registryAddress, "--log-level", "debug"}
	shared, err = world.New(ctx, c)
	return shared, err
}
