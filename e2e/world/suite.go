package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"berth.dev/berth/internal/clustertest"
)

// A Suite is the tests of a package that share one control plane and one agent.
type Suite struct {
	// Name is a part of the name of the folder for files.
	Name string
	// AtOnce is how many tests run at the same time, if they wait more than they work; 0 is one for each processor.
	AtOnce int
	// Begin returns the world of the tests. It gets a Config with a control plane that has an audit log, a folder, and the
	// program, and completes it. The agent starts afterwards.
	Begin func(context.Context, Config) (*World, error)
	// End checks the world after the tests, when its agent has stopped; nil checks nothing.
	End func() error
}

// Run runs the tests of a package, and returns the exit code.
func (s Suite) Run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-"+s.Name+"-")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(dir)
	w, err := s.begin(context.Background(), dir)
	if err != nil {
		return failed(err)
	}
	defer w.Cluster.Stop()
	code := s.run(m)
	err = w.Agent.Stop()
	if s.End != nil {
		err = errors.Join(err, s.End())
	}
	if err != nil {
		return failed(err)
	}
	return code
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func (s Suite) run(m *testing.M) int {
	if s.AtOnce == 0 {
		return m.Run()
	}
	return clustertest.Parallel(m, s.AtOnce)
}

// begin builds the program while the control plane starts, and starts the agent.
func (s Suite) begin(ctx context.Context, dir string) (*World, error) {
	built := make(chan error, 1)
	go func() {
		_, err := Build(dir)
		built <- err
	}()
	cluster, err := clustertest.Run(ctx, clustertest.Config{Audit: true})
	if err := errors.Join(err, <-built); err != nil {
		return nil, err
	}
	w, err := s.Begin(ctx, Config{Cluster: cluster, Dir: dir, Binary: filepath.Join(dir, "berth")})
	if err == nil {
		err = w.Agent.Start()
	}
	if err != nil {
		cluster.Stop()
		return nil, err
	}
	return w, nil
}
