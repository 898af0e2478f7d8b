// Package branches creates and deletes many branches at once, and checks that the cluster has exactly what Git says. It
// does so after two minutes of random changes, and after every kind of answer of a Git server.
package branches

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
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
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-branches-")
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
	binary, built := filepath.Join(dir, "berth"), make(chan error, 1)
	go func() {
		_, err := world.Build(dir)
		built <- err
	}()
	cluster, err := clustertest.Run(ctx, clustertest.Config{Audit: true})
	if err := errors.Join(err, <-built); err != nil {
		return err
	}
	if err := install(ctx, cluster, world.Config{Cluster: cluster, Dir: dir, Binary: binary}); err != nil {
		cluster.Stop()
		return err
	}
	return nil
}

func install(ctx context.Context, cluster *clustertest.Cluster, config world.Config) (err error) {
	if client, err = dynamic.NewForConfig(cluster.RESTConfig()); err != nil {
		return err
	}
	if hooks, err = loopback.Claim(); err != nil {
		return err
	}
	config.Flags = []string{"--webhook-address", hooks}
	if shared, err = world.New(ctx, config); err != nil {
		return err
	}
	return shared.Agent.Start()
}
