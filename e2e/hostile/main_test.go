// Package hostile attacks Berth, with the means of a user who can push any branch, and with everything that such a
// branch can bring. Every attempt states how it is refused, and that it did not affect production.
//
// All attempts share one agent, which has only the rights of deploy/. To add one, append a row to a table of attempts
// (team_test.go), or write a test with a team of its own.
package hostile

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/loopback"
)

// shared is the world of all attempts.
var shared *world.World

// buildTime is the processor time that one build of a kustomization may take.
const buildTime = 10 * time.Second

// memoryLimit is that of the Deployment, for the agent and its children together. unlimited says why this system cannot
// enforce it.
var (
	memoryLimit int64
	unlimited   error
)

// hooks is the agent's address for webhooks.
var hooks string

// atOnce is how many attempts run concurrently. They wait more than they work.
const atOnce = 8

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-hostile-")
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
	if err := errors.Join(shared.Agent.Stop(), withinMemory(), shared.Cgroup.Remove()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// begin builds the agent while the control plane starts, and starts the agent.
func begin(ctx context.Context, dir string) (*world.World, error) {
	binary := filepath.Join(dir, "berth")
	built := make(chan error, 1)
	go func() {
		_, err := world.Build(dir)
		built <- err
	}()
	cluster, err := clustertest.Run(ctx, clustertest.Config{Audit: true})
	if err := errors.Join(err, <-built); err != nil {
		return nil, err
	}
	w, err := installed(ctx, cluster, dir, binary)
	if err == nil {
		err = w.Agent.Start()
	}
	if err != nil {
		cluster.Stop()
	}
	return w, err
}

func installed(ctx context.Context, cluster *clustertest.Cluster, dir, binary string) (w *world.World, err error) {
	config := world.Config{Cluster: cluster, Dir: dir, Binary: binary}
	if config.Environment, memoryLimit, err = deployedMemory(); err != nil {
		return nil, err
	}
	config.Cgroup, unlimited = world.NewCgroup(memoryLimit)
	if hooks, err = loopback.Claim(); err != nil {
		return nil, err
	}
	config.Flags = []string{"--log-level", "debug", "--kustomize-cpu", buildTime.String(), "--webhook-address", hooks}
	return world.New(ctx, config)
}

// withinMemory returns an error if the kernel has killed a process because of the memory limit, in any attempt.
func withinMemory() error {
	if unlimited != nil {
		return nil
	}
	kills, err := shared.Cgroup.Kills()
	if err == nil && kills > 0 {
		err = fmt.Errorf("the kernel killed %d processes of the agent, because they held more than %d MiB", kills, memoryLimit>>20)
	}
	return err
}

// deployedMemory returns the environment variable with which the Deployment in deploy/ bounds the memory of the agent's
// own process, and the limit of its pod.
func deployedMemory() (variables []string, limit int64, err error) {
	objects, err := deploy.Objects()
	if err != nil {
		return nil, 0, err
	}
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
			return nil, 0, err
		}
		agent := d.Spec.Template.Spec.Containers[0]
		for _, variable := range agent.Env {
			if variable.Name == "GOMEMLIMIT" {
				return []string{variable.Name + "=" + variable.Value}, agent.Resources.Limits.Memory().Value(), nil
			}
		}
	}
	return nil, 0, errors.New("the Deployment in deploy/ does not set GOMEMLIMIT")
}
