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
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
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
	os.Exit(world.Suite{Name: "hostile", AtOnce: atOnce, Begin: begin, End: end}.Run(m))
}

func begin(ctx context.Context, c world.Config) (_ *world.World, err error) {
	if c.Environment, memoryLimit, err = deployedMemory(); err != nil {
		return nil, err
	}
	c.Cgroup, unlimited = world.NewCgroup(memoryLimit)
	if hooks, err = loopback.Claim(); err != nil {
		return nil, err
	}
	c.Flags = []string{"--log-level", "debug", "--kustomize-cpu", buildTime.String(), "--webhook-address", hooks}
	shared, err = world.New(ctx, c)
	return shared, err
}

func end() error { return errors.Join(withinMemory(), shared.Cgroup.Remove()) }

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
