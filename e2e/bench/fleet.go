package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
)

// startsAtOnce is the number of control planes that start at a time, because each start uses a processor.
const startsAtOnce = 2

// fleet measures an agent with branches in many other clusters, and no environment at home. Each of the others is a control
// plane of its own. They have only etcd and an API server, because 20 complete ones need more memory than a machine has.
// This part comes last, because the agent does not reach these clusters any more when it has ended.
func (b *bench) fleet() []figure {
	there := b.startFleet()
	defer func() {
		for _, w := range there {
			w.Cluster.Stop()
		}
	}()
	git := b.server.Repository("fleet")
	git.Commit("main", fleetFiles(), "begin")
	for i := range there {
		for n := range b.branches {
			name := fmt.Sprintf("%s/b%02d", member(i), n)
			git.CommitFrom("main", name, map[string]string{"app/main.go": "package main\n\n// " + name + "\n"}, "begin")
		}
	}
	began := time.Now()
	agent, err := processOf(b.world.Agent.PID())
	if err != nil {
		b.t.Fatalf("cannot read the agent's CPU time: %v", err)
	}
	b.t.Logf("rolling %d environments out", len(there)*b.branches)
	rollout := b.timed(func() {
		t := b.follow("fleet", func(spec *v1alpha1.RepositorySpec) {
			spec.URL = git.URL()
			spec.Environments = inEach(spec.Environments[0], len(there))
		})
		b.awaitAll(t, len(there)*b.branches)
	})
	after, err := processOf(agent.pid)
	if err != nil {
		b.t.Fatalf("cannot read the agent's CPU time: %v", err)
	}
	sent := b.countSince(began, there)
	b.rest(b.settle, there...)
	size := fmt.Sprintf("%d clusters of %d environments each", len(there), b.branches)
	figures := b.held("memory with " + size)
	b.heap("fleet")
	calm := b.observe(b.idle, there...)
	b.logRequests(calm)
	far := each(calm.far, func(traffic world.Traffic) float64 { return float64(len(traffic.API)) })
	in := " in " + b.idle.String() + " of nothing, with " + size
	return append(figures,
		figure{Name: "API requests at home" + in, Value: float64(len(calm.home.API)), Budget: none},
		figure{Name: "API requests to all other clusters" + in, Value: float64(calm.requests() - len(calm.home.API)), Samples: far, Budget: none},
		figure{Name: "CPU" + in, Unit: "s", Value: calm.cpu.Seconds()},
		figure{Name: "Git requests" + in, Value: float64(len(calm.home.Git))},
		figure{Name: "all environments healthy, " + size, Unit: "s", Value: rollout.took.Seconds()},
		of("API requests to a cluster for each of its environments", "", each(sent, func(n int) float64 { return float64(n) / float64(b.branches) })),
		figure{Name: "CPU of the agent for it", Unit: "s", Value: (after.own - agent.own).Seconds()},
	)
}

// countSince returns how many requests the agent has sent to each cluster since a time.
func (b *bench) countSince(began time.Time, there []*world.World) (counts []int) {
	for _, w := range there {
		traffic, err := w.Since(began, b.server)
		if err != nil {
			b.t.Fatalf("cannot count the agent's requests in other clusters: %v", err)
		}
		counts = append(counts, len(traffic.API))
	}
	return counts
}

// startFleet starts the other clusters, with Berth's rights in each, and stores a kubeconfig of each at home.
func (b *bench) startFleet() []*world.World {
	there, errs := make([]*world.World, b.farClusters), make([]error, b.farClusters)
	free := make(chan struct{}, startsAtOnce)
	var all sync.WaitGroup
	for i := range there {
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			there[i], errs[i] = startMember(b.t.Context(), filepath.Join(b.dir, member(i)))
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		b.t.Fatalf("%v", err)
	}
	for i, w := range there {
		file, err := w.Cluster.KubeconfigFor(b.t.Context(), deploy.Namespace, deploy.ServiceAccount)
		if err != nil {
			b.t.Fatalf("%v", err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			b.t.Fatalf("%v", err)
		}
		b.world.SetSecret(b.t, member(i), map[string]string{"value": string(text)})
	}
	return there
}

func startMember(ctx context.Context, dir string) (*world.World, error) {
	plane, err := clustertest.Run(ctx, clustertest.Config{APIServerOnly: true, Audit: true})
	if err != nil {
		return nil, err
	}
	w, err := world.New(ctx, world.Config{Cluster: plane, APIServerOnly: true, Dir: dir})
	if err != nil {
		plane.Stop()
	}
	return w, err
}

// member returns the name of a cluster of the fleet, which is also that of its entry and Secret.
func member(i int) string { return fmt.Sprintf("fleet%02d", i) }

// inEach returns an entry for each cluster, which follows the branches below the cluster's name.
func inEach(entry v1alpha1.Entry, clusters int) (entries []v1alpha1.Entry) {
	for i := range clusters {
		entry.Name, entry.Namespace = member(i), "${BRANCH_SLUG}"
		entry.Branches = []v1alpha1.BranchPattern{v1alpha1.BranchPattern(member(i) + "/**")}
		entry.Cluster = &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: member(i)}}
		entries = append(entries, entry)
	}
	return entries
}

// fleetFiles returns the usual files, with as many objects and kinds, but without those that only controllers make healthy:
// a NetworkPolicy replaces each Deployment, and a ServiceAccount the Job.
func fleetFiles() map[string]string {
	all := files()
	for _, name := range deployments {
		path := folder + "/" + name + ".yaml"
		all[path] = strings.Replace(all[path], strings.ReplaceAll(deploymentFile, "NAME", name), strings.ReplaceAll(policyFile, "NAME", name), 1)
	}
	all[folder+"/job.yaml"] = accountFile
	return all
}

const policyFile = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: NAME
  labels: {app.kubernetes.io/name: NAME}
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/name: NAME}
  ingress:
  - ports:
    - port: http
`

const accountFile = `apiVersion: v1
kind: ServiceAccount
metadata:
  name: app
  annotations: {example.com/host: "${BRANCH_SLUG}.review.example.com"}
`
