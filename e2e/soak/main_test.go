// Package soak lets one agent work for a long time, and fails if its memory, goroutines or open files grow. Branches come and
// go, commits are pushed, files are decrypted, and drift is corrected.
package soak

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
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
	os.Exit(world.Suite{Name: "soak", Begin: begin}.Run(m))
}

func begin(ctx context.Context, c world.Config) (_ *world.World, err error) {
	for _, address := range []*string{&hooks, &profiles} {
		if *address, err = loopback.Claim(); err != nil {
			return nil, err
		}
	}
	c.Flags = []string{"--webhook-address", hooks, "--pprof-address", profiles}
	shared, err = world.New(ctx, c)
	return shared, err
}
