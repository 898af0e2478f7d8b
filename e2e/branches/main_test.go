// Package branches creates and deletes many branches at once, and checks that the cluster has exactly what Git says. It
// does so after two minutes of random changes, and after every kind of answer of a Git server.
package branches

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/loopback"
)

// By default the test is short and has few branches; make branches runs the long one.
var (
	count  = flag.Int("branches", 15, "how many branches come and go at random")
	during = flag.Duration("during", 15*time.Second, "for how long they do")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "what is drawn from")
)

// All tests of the package share these, each with a Repository of its own.
var (
	shared *world.World
	// client has all rights; hooks is the agent's address for webhooks.
	client dynamic.Interface
	hooks  string
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(world.Suite{Name: "branches", Begin: begin}.Run(m))
}

func begin(ctx context.Context, c world.Config) (_ *world.World, err error) {
	if client, err = dynamic.NewForConfig(c.Cluster.RESTConfig()); err != nil {
		return nil, err
	}
	if hooks, err = loopback.Claim(); err != nil {
		return nil, err
	}
	c.Flags = []string{"--webhook-address", hooks}
	shared, err = world.New(ctx, c)
	return shared, err
}
