package main

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
)

// objectsPerService is the number of objects per service of the large environment: a Deployment, two Secrets and
// ConfigMaps.
const objectsPerService = 10

// large measures one environment with many objects, compared with the bare client: its first rollout, and a commit that
// changes a single object.
func (b *bench) large() []figure {
	if b.standing != nil {
		b.remove(b.standing)
		b.standing = nil
	}
	services := max(b.objects/objectsPerService, 1)
	git := b.server.Repository("monolith")
	git.Commit("main", largeFiles(services), "begin")

	bare := b.bareLarge(services)
	b.removeBare("barelarge")
	var t *team
	ours := b.timed(func() {
		t = b.follow("monolith", func(spec *v1alpha1.RepositorySpec) {
			spec.URL = git.URL()
			spec.Environments[0].Name, spec.Environments[0].Branches = "production", []v1alpha1.BranchPattern{"main"}
			spec.Environments[0].Namespace = "monolith"
		})
		t.Environment("main").BecomesWithin(limit, v1alpha1.ReasonHealthy, git.Head("main"))
	})
	b.rest(b.settle)
	held, err := memoryOf(b.world.Agent.PID())
	if err != nil {
		b.t.Fatalf("cannot read the agent's memory: %v", err)
	}
	b.heap("large")
	size := float64(b.recordSize()) / 1000

	var took, requests []float64
	for i := range b.samples {
		git.Commit("main", map[string]string{"k8s/service-0000.yaml": largeService(0, fmt.Sprint("change ", i))}, "change one")
		began := time.Now()
		b.deliver("monolith")
		t.Environment("main").BecomesWithin(limit, v1alpha1.ReasonHealthy, git.Head("main"))
		took = append(took, milliseconds(time.Since(began)))
		b.rest(b.settle / 10)
		traffic, err := b.world.Since(began, b.server)
		if err != nil {
			b.t.Fatalf("cannot count the agent's requests: %v", err)
		}
		requests = append(requests, float64(len(traffic.API)))
	}
	in := fmt.Sprintf(" in one environment of %d objects", services*objectsPerService)
	return []figure{
		{Name: "first rollout" + in, Unit: "s", Value: ours.took.Seconds()},
		{Name: "the same by the bare client", Unit: "s", Value: bare.took.Seconds()},
		{Name: "multiple of the bare client" + in, Unit: "×", Value: multiple(ours.took, bare.took)},
		{Name: "multiple of the bare client, in CPU" + in, Unit: "×", Value: multiple(ours.work, bare.work)},
		{Name: "memory: anonymous" + in, Unit: "MB", Value: held.anonymous},
		{Name: "record, which an API server takes up to 1,000 kB" + in, Unit: "kB", Value: size, Budget: 1000},
		of("webhook to healthy again, a commit that changes one object"+in, "ms", took),
		of("API requests for it", "", requests),
	}
}

// bareLarge rolls the same objects out with the bare client.
func (b *bench) bareLarge(services int) rollout {
	writes := b.writes("barelarge", "main", largeFiles(services))
	if err := b.send(b.t.Context(), writes[0]); err != nil { // the namespace
		b.t.Fatalf("the bare client: %v", err)
	}
	var parts [][]write
	for _, w := range writes[1:] {
		parts = append(parts, []write{w})
	}
	return b.timed(func() {
		if err := b.sendAll(parts); err != nil {
			b.t.Fatalf("the bare client: %v", err)
		}
		b.awaitSettled(deployment, "barelarge", services)
	})
}

// recordSize returns the largest size in bytes of the records in the agent's namespace.
func (b *bench) recordSize() (size int) {
	list, err := b.client.Resource(secrets).Namespace(deploy.Namespace).List(b.t.Context(), metav1.ListOptions{FieldSelector: "type=berth.dev/record"})
	if err != nil {
		b.t.Fatalf("cannot read the records: %v", err)
	}
	for _, item := range list.Items {
		data, _, _ := unstructured.NestedStringMap(item.Object, "data")
		for _, value := range data {
			size = max(size, len(value))
		}
	}
	return size
}

// largeFiles returns the files of a repository with many services.
func largeFiles(services int) map[string]string {
	all := map[string]string{"app/main.go": "package main\n"}
	for i := range services {
		all[fmt.Sprintf("k8s/service-%04d.yaml", i)] = largeService(i, "first")
	}
	return all
}

// largeService returns the file of one service, with the text in one of its ConfigMaps.
func largeService(i int, text string) string {
	name := fmt.Sprintf("service-%04d", i)
	var file strings.Builder
	file.WriteString(strings.ReplaceAll(deploymentFile, "NAME", name))
	for n := range 2 {
		fmt.Fprintf(&file, "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s-%d\ndata:\n  PASSWORD: c2VjcmV0\n", name, n)
	}
	for n := range objectsPerService - 3 {
		fmt.Fprintf(&file, "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s-%d\ndata:\n  TEXT: %s\n  HOST: ${BRANCH_SLUG}.example.com\n", name, n, text)
		text = "first" // in all but one
	}
	return file.String()
}
