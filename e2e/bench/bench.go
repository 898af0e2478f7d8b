package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/client-go/dynamic"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// options say what is measured, and how thoroughly.
type options struct {
	branches, rounds, samples, workers int
	// objects is how many the large environment has.
	objects int
	// references is how many a repository has beside its branches.
	references int
	// attackSize is how large the attacks are: about the number of objects that an attack brings. attackSamples is how
	// often production is deployed under each.
	attackSize, attackSamples int
	idle, settle              time.Duration
	binary, profiles          string
	// profileTime is how long a CPU profile goes on.
	profileTime time.Duration
	parts       []string
}

var defaults = options{branches: 50, objects: 5000, references: 20_000, attackSize: 1000, attackSamples: 7, rounds: 5, samples: 30, workers: 12, idle: 2 * time.Minute, settle: 30 * time.Second, profileTime: 15 * time.Second}

// part is something to measure, by itself or on what the parts before it have left behind.
type part struct {
	name    string
	measure func(*bench) []figure
}

// parts are all there are, in their order: idleness and memory are those of an agent that has the branches
// of the last rollout to look after.
var parts = []part{
	{"rollout", (*bench).rollouts},
	{"memory", (*bench).memory},
	{"idle", (*bench).idleness},
	{"drift", (*bench).drift},
	{"hook", (*bench).hooks},
	{"listing", (*bench).listing},
	{"large", (*bench).large},
	{"hostile", (*bench).hostile},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// bench is a control plane with an agent on it, and a Git server.
type bench struct {
	options
	t      world.Reporter
	world  *world.World
	client dynamic.Interface // with all rights
	// bare is the client of the bare client: as Berth's, a service account's, whose requests the API server
	// authorizes and queues, which it does not for an administrator.
	bare   dynamic.Interface
	server *gittest.Server
	git    *gittest.Repository
	// standing is the Repository that was rolled out last, with all its branches.
	standing *team
	// dir is for what the parts write, attackers how many there were.
	dir       string
	attackers int
	// hookAddress is where the agent serves webhooks, profileAddress its profiles.
	hookAddress, profileAddress string
}

// measure carries out the parts.
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
	var addresses [2]string
	for i := range addresses {
		if addresses[i], err = freeAddress(); err != nil {
			b.t.Fatalf("%v", err)
		}
	}
	b.hookAddress, b.profileAddress = addresses[0], addresses[1]
	flags := []string{"--webhook-address", b.hookAddress}
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

// commitAll makes main, and the branches, each with a commit of its own.
func (b *bench) commitAll() {
	b.t.Logf("making %d branches", b.branches)
	b.git.Commit("main", files(), "begin")
	for i := range b.branches {
		b.push(i, "begin")
	}
}

// push commits a change of the code to a branch.
func (b *bench) push(i int, change string) {
	b.git.CommitFrom("main", branch(i), map[string]string{"app/main.go": fmt.Sprintf("package main\n\n// %s: %s\n", branch(i), change)}, change)
}

// branch is the name of one, which is its own slug.
func branch(i int) string { return fmt.Sprintf("branch-%04d", i) }
