// Package rights proves that deploy/ grants the agent what it uses, and nothing else. An agent lives through everything
// that needs a right; the audit log of the API server says which rights it used.
package rights

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/loopback"
)

// agents are two replicas of one installation, with the addresses of their webhooks.
type agents struct {
	*world.World
	leader, standby           *world.Agent
	leaderHooks, standbyHooks string
	// pageAddress is that of the page, which the standby serves.
	pageAddress string

	admin  kubernetes.Interface
	client dynamic.Interface
	began  time.Time
}

// begin starts a control plane with Berth and both replicas.
func begin(t *testing.T) *agents {
	t.Helper()
	dir := t.TempDir()
	binary, built := filepath.Join(dir, "berth"), make(chan error, 1)
	go func() {
		_, err := world.Build(dir)
		built <- err
	}()
	cluster, err := clustertest.Run(context.Background(), clustertest.Config{Audit: true})
	if err := errors.Join(err, <-built); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	a := &agents{leaderHooks: claims(t), standbyHooks: claims(t), pageAddress: claims(t), began: time.Now()}
	if a.admin, err = kubernetes.NewForConfig(cluster.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	if a.client, err = dynamic.NewForConfig(cluster.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	a.World, err = world.New(t.Context(), world.Config{Cluster: cluster, Dir: dir, Binary: binary, Flags: []string{"--leader-elect", "--webhook-address", a.leaderHooks}})
	if err != nil {
		t.Fatal(err)
	}
	a.leader, a.standby = a.Agent, a.Agent.Twin("standby", append(pageFlags(a.pageAddress), "--webhook-address", a.standbyHooks)...)
	a.grantsThePage(t)
	for _, agent := range []*world.Agent{a.leader, a.standby} {
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = agent.Stop() })
	}
	return a
}

func claims(t *testing.T) string {
	t.Helper()
	address, err := loopback.Claim()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
