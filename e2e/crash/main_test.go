// Package crash kills the agent at any moment of a busy time, and checks that the result is the same: the cluster has
// exactly what Git says, and no Job has run twice.
package crash

import (
	"context"
	"errors"
	"flag"
	"path/filepath"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
)

// By default the test runs a short matrix; make crash runs the long one.
var (
	moments = flag.Int("moments", 8, "at how many moments the agent is killed")
	freezes = flag.Int("freezes", 2, "at how many moments the agent is frozen until another leads")
	seed    = flag.Uint64("seed", uint64(time.Now().UnixNano()), "what the moments and the work are drawn from")
)

// begin starts a control plane with Berth, but without a running agent.
func begin(t *testing.T, flags ...string) *world.World {
	t.Helper()
	dir := t.TempDir()
	binary, built := filepath.Join(dir, "berth"), make(chan error, 1)
	go func() {
		_, err := world.Build(dir)
		built <- err
	}()
	cluster, err := clustertest.Run(context.Background(), clustertest.Config{})
	if err := errors.Join(err, <-built); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	w, err := world.New(t.Context(), world.Config{Cluster: cluster, Dir: dir, Binary: binary, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return w
}
