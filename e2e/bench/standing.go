package main

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"berth.dev/berth/e2e/world"
)

// empty measures an agent that follows nothing yet.
func (b *bench) empty() []figure {
	b.rest(b.settle)
	return b.held("memory without branches")
}

// held measures the memory of the agent.
func (b *bench) held(name string) []figure {
	held, err := memoryOf(b.world.Agent.PID())
	if err != nil {
		b.t.Fatalf("cannot read the agent's memory: %v", err)
	}
	return []figure{{Name: name + ": anonymous", Unit: "MB", Value: held.anonymous}, {Name: name + ": resident", Unit: "MB", Value: held.resident}}
}

// memory measures the agent at rest with all branches.
func (b *bench) memory() []figure {
	b.stand()
	b.rest(b.settle)
	figures := b.held(fmt.Sprintf("memory with %d branches", b.branches))
	figures[0].Budget, figures[1].Budget = 45, 120
	if b.branches > 500 {
		figures[0].Budget, figures[1].Budget = 350, 0
	}
	b.heap("memory")
	return figures
}

// idleness measures the agent's requests and CPU time while nothing happens.
func (b *bench) idleness() []figure {
	b.stand()
	b.rest(b.settle)
	stop := b.profile("idle")
	calm := b.observe(b.idle)
	stop()
	b.logRequests(calm)
	in := " in " + b.idle.String() + " of nothing"
	return []figure{
		{Name: "API requests" + in, Value: float64(len(calm.home.API)), Budget: none},
		{Name: "CPU" + in, Unit: "s", Value: calm.cpu.Seconds(), Budget: 0.3},
		{Name: "Git requests" + in, Value: float64(len(calm.home.Git)), Budget: 4},
	}
}

// activity is what the agent did during some time.
type activity struct {
	cpu  time.Duration
	home world.Traffic
	// far holds the requests to each other cluster.
	far []world.Traffic
}

// requests returns the number of API requests to all clusters.
func (a activity) requests() int {
	all := len(a.home.API)
	for _, traffic := range a.far {
		all += len(traffic.API)
	}
	return all
}

// observe measures what the agent does for a while, also in other clusters.
func (b *bench) observe(d time.Duration, others ...*world.World) (a activity) {
	pid, began := b.world.Agent.PID(), time.Now()
	before, err := processOf(pid)
	if err != nil {
		b.t.Fatalf("cannot read the agent's CPU time: %v", err)
	}
	if a.home, err = b.world.Watch(b.t.Context(), d, b.server); err != nil {
		b.t.Fatalf("cannot count the agent's requests: %v", err)
	}
	after, err := processOf(pid)
	if err != nil {
		b.t.Fatalf("cannot read the agent's CPU time: %v", err)
	}
	a.cpu = after.own - before.own
	for _, other := range others {
		traffic, err := other.Since(began, b.server)
		if err != nil {
			b.t.Fatalf("cannot count the agent's requests in other clusters: %v", err)
		}
		a.far = append(a.far, traffic)
	}
	return a
}

// logRequests logs the requests that the agent made although nothing happened.
func (b *bench) logRequests(a activity) {
	if len(a.home.API) > 0 {
		b.t.Logf("the agent asked while nothing happened:\n%s", a.home)
	}
	for i, traffic := range a.far {
		if len(traffic.API) > 0 {
			b.t.Logf("the agent asked the other cluster %d while nothing happened:\n%s", i, traffic)
		}
	}
}

// rest waits until the agent has made no requests for a while, also to other clusters.
func (b *bench) rest(d time.Duration, others ...*world.World) {
	for range 20 {
		if b.observe(d, others...).requests() == 0 {
			return
		}
	}
	b.t.Fatalf("the agent does not come to rest")
}

// drift measures how long a change by another user lasts: from that user's request until watchers see the correction.
func (b *bench) drift() []figure {
	t := b.stand()
	b.rest(b.settle)
	var took []time.Duration
	for i := range b.samples {
		took = append(took, b.correction(t.name+"-"+branch(i%b.branches), deployments[i/b.branches%len(deployments)], i))
	}
	return []figure{of("drift: other's write to our correction", "ms", each(took, milliseconds)).within(100)}
}

// correction changes a Deployment as kubectl does, with edit and scale in turn.
func (b *bench) correction(namespace, name string, i int) time.Duration {
	client := b.client.Resource(deployment).Namespace(namespace)
	ctx := b.t.Context()
	seen := make(chan time.Time, 1)
	options := b.fromNow(deployment, namespace, name)
	changed := false
	watching := func() {
		b.watched(deployment, namespace, options, func(_ watch.EventType, now *unstructured.Unstructured) bool {
			replicas, _, _ := unstructured.NestedInt64(now.Object, "spec", "replicas")
			changed = changed || replicas != 1
			return changed && replicas == 1
		})
		seen <- time.Now()
	}
	go watching()
	written := time.Now()
	var err error
	if i%2 == 0 {
		_, err = client.Patch(ctx, name, types.StrategicMergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	} else {
		_, err = client.Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{FieldManager: "kubectl"}, "scale")
	}
	if err != nil {
		b.t.Fatalf("cannot change a Deployment: %v", err)
	}
	return (<-seen).Sub(written)
}
