package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/internal/loopback"
)

// options configure the measurements.
type options struct {
	branches, rounds, samples, workers int
	// objects is the number of objects in the large environment.
	objects int
	// references is the number of references that a repository has in addition to its branches.
	references int
	// encrypted is the number of encrypted files with which an agent restarts.
	encrypted int
	// pages is the number of open pages.
	pages int
	// attackSize is the size of the attacks: about the number of objects that an attack brings. attackSamples is the
	// number of production deployments under each attack.
	attackSize, attackSamples int
	// farClusters is the number of other clusters.
	farClusters      int
	idle, settle     time.Duration
	binary, profiles string
	// watchSecrets is the agent's flag of that name.
	watchSecrets string
	// profileTime is the duration of a CPU profile.
	profileTime time.Duration
	parts       []string
}

var defaults = options{branches: 50, objects: 5000, references: 20_000, encrypted: 200, pages: 50, farClusters: 20, attackSize: 1000, attackSamples: 7, rounds: 5, samples: 30, workers: 12, idle: 2 * time.Minute, settle: 30 * time.Second, profileTime: 15 * time.Second, watchSecrets: "namespaces"}

// part is one group of measurements. It stands alone or uses the results of earlier parts.
type part struct {
	name    string
	measure func(*bench) []figure
	// apart is true if the part is only measured when it is named.
	apart bool
}

// parts lists all parts in order: idleness and memory measure an agent that holds the branches of the last rollout.
var parts = []part{
	{name: "empty", measure: (*bench).empty},
	{name: "rollout", measure: (*bench).rollouts},
	{name: "memory", measure: (*bench).memory},
	{name: "idle", measure: (*bench).idleness},
	{name: "drift", measure: (*bench).drift},
	{name: "hook", measure: (*bench).hooks},
	{name: "clusters", measure: (*bench).clusters},
	{name: "listing", measure: (*bench).listing},
	{name: "large", measure: (*bench).large},
	{name: "restart", measure: (*bench).restarts},
	{name: "page", measure: (*bench).page},
	{name: "hostile", measure: (*bench).hostile},
	{name: "fleet", measure: (*bench).fleet, apart: true},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// usualParts returns the names of the parts that are measured if none is named.
func usualParts() (names []string) {
	for _, p := range parts {
		if !p.apart {
			names = append(names, p.name)
		}
	}
	return names
}

// bench is a control plane with an agent on it, and a Git server.
type bench struct {
	options
	t      world.Reporter
	world  *world.World
	client dynamic.Interface // with all rights
	// bare is the client of the bare client. Like Berth's, it is a service account's: the API server authorizes and
	// queues its requests, unlike those of an administrator.
	bare   dynamic.Interface
	server *gittest.Server
	git    *gittest.Repository
	// standing is the Repository of the last rollout, with all its branches.
	standing *team
	// dir is the folder for output, attackers the number of attackers so far.
	dir       string
	attackers int
	// hookAddress is the agent's address for webhooks, profileAddress that for profiles.
	hookAddress, profileAddress string
	// metricsAddress is that for metrics.
	metricsAddress string
}

// measure runs the parts.
func measure(t world.Reporter, cluster *clustertest.Cluster, dir string, o options) []figure {
	b := &bench{options: o, t: t, dir: dir}
	var err error
	if b.client, err = dynamic.NewForConfig(cluster.RESTConfig()); err != nil {
		t.Fatalf("%v", err)
	}
	b.install(cluster, dir)
	if b.bare, err = bareClient(t.Context(), cluster); err != nil {
		t.Fatalf("%v", err)
	}
	defer b.world.Agent.Stop()
	b.server = gittest.Serve(t, gittest.Config{Dir: filepath.Join(dir, "git")})
	defer b.server.Close()
	b.git = b.server.Repository("app")
	b.commitAll()
	var figures []figure
	for _, p := range parts {
		if slices.Contains(o.parts, p.name) {
			measured := p.measure(b)
			figures = append(figures, measured...)
			t.Logf("%s\n%s", p.name, table(measured))
		}
	}
	return figures
}

// install installs Berth and starts the agent.
func (b *bench) install(cluster *clustertest.Cluster, dir string) {
	var err error
	var addresses [3]string
	for i := range addresses {
		if addresses[i], err = loopback.Claim(); err != nil {
			b.t.Fatalf("%v", err)
		}
	}
	b.hookAddress, b.profileAddress, b.metricsAddress = addresses[0], addresses[1], addresses[2]
	flags := []string{"--webhook-address", b.hookAddress, "--metrics-address", b.metricsAddress, "--watch-secrets", b.watchSecrets}
	if b.watchSecrets == "cluster" {
		b.showSecrets(cluster)
	}
	if b.profiles != "" {
		flags = append(flags, "--pprof-address", b.profileAddress)
	}
	if b.world, err = world.New(b.t.Context(), world.Config{Cluster: cluster, Dir: dir, Binary: b.binary, Flags: flags}); err != nil {
		b.t.Fatalf("%v", err)
	}
	b.world.SetSecret(b.t, hookSecret, map[string]string{"token": hookToken})
	if err := b.world.Agent.Start(); err != nil {
		b.t.Fatalf("%v", err)
	}
}

// showSecrets grants the agent what deploy/components/watch-secrets grants.
func (b *bench) showSecrets(cluster *clustertest.Cluster) {
	role := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
		"metadata": map[string]any{"name": "berth-watch-secrets", "labels": map[string]any{"berth.dev/aggregate-to-watch": "true"}},
		"rules":    []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"secrets"}, "verbs": []any{"list", "watch"}}},
	}}
	if err := clustertest.Apply(b.t.Context(), cluster.RESTConfig(), role); err != nil {
		b.t.Fatalf("%v", err)
	}
}

// commitAll creates main and the branches, each with a commit of its own.
func (b *bench) commitAll() {
	b.t.Logf("making %d branches", b.branches)
	b.git.Commit("main", files(), "begin")
	for i := range b.branches {
		b.push(i, "begin")
	}
}

// push commits a code change to a branch.
func (b *bench) push(i int, change string) {
	b.git.CommitFrom("main", branch(i), map[string]string{"app/main.go": fmt.Sprintf("package main\n\n// %s: %s\n", branch(i), change)}, change)
}

// branch returns the name of a branch, which is also its slug.
func branch(i int) string { return fmt.Sprintf("branch-%04d", i) }
