package main

import (
	"fmt"
	"time"
)

// rollout is the cost until all branches are healthy.
type rollout struct {
	took time.Duration
	// work is the CPU time of all participants, mostly the control plane. Unlike took, it does not depend on other load
	// of the machine. agent is Berth's share of it.
	work, agent time.Duration
	// requests is the number of Berth's requests per branch.
	requests float64
}

// rollouts measures how long it takes until all branches are healthy, with Berth and the bare client in turn. So other
// load on the machine slows both down.
func (b *bench) rollouts() []figure {
	var ours, bare []rollout
	for round := range b.rounds {
		if b.standing != nil {
			b.remove(b.standing)
		}
		bare = append(bare, b.bareRollout(fmt.Sprintf("bare%d", round)))
		b.removeBare(fmt.Sprintf("bare%d", round))
		ours = append(ours, b.ourRollout(fmt.Sprintf("ours%d", round)))
		b.t.Logf("round %d: Berth %.2f s, bare client %.2f s, multiple %.2f, of the work %.2f", round+1, ours[round].took.Seconds(), bare[round].took.Seconds(),
			multiple(ours[round].took, bare[round].took), multiple(ours[round].work, bare[round].work))
	}
	return b.compared(ours, bare)
}

func multiple(ours, bare time.Duration) float64 { return ours.Seconds() / bare.Seconds() }

// ourRollout measures Berth's rollout: from the Repository to the status of the last Environment.
func (b *bench) ourRollout(name string) rollout {
	stop := b.profile(name)
	agent, err := processOf(b.world.Agent.PID())
	if err != nil {
		b.t.Fatalf("cannot read the agent's CPU time: %v", err)
	}
	began := time.Now()
	r := b.timed(func() {
		b.standing = b.follow(name)
		b.awaitHealthy(b.standing)
	})
	after, err := processOf(agent.pid)
	if err != nil {
		b.t.Fatalf("cannot read the agent's CPU time: %v", err)
	}
	stop()
	r.agent, r.requests = after.own-agent.own, b.requestsSince(began)
	return r
}

// timed measures the cost of a function.
func (b *bench) timed(do func()) rollout {
	before, err := familyTime()
	if err != nil {
		b.t.Fatalf("cannot read the CPU time: %v", err)
	}
	began := time.Now()
	do()
	took := time.Since(began)
	after, err := familyTime()
	if err != nil {
		b.t.Fatalf("cannot read the CPU time: %v", err)
	}
	return rollout{took: took, work: after - before}
}

// compared turns the rounds into figures.
func (b *bench) compared(ours, bare []rollout) []figure {
	budget := 1.3
	if b.branches > 500 {
		budget = 1.5
	}
	took := func(r rollout) float64 { return r.took.Seconds() }
	work := func(r rollout) float64 { return r.work.Seconds() }
	times, efforts := make([]float64, len(ours)), make([]float64, len(ours))
	for i := range ours {
		times[i], efforts[i] = multiple(ours[i].took, bare[i].took), multiple(ours[i].work, bare[i].work)
	}
	return []figure{
		of(fmt.Sprintf("all %d branches healthy", b.branches), "s", each(ours, took)),
		of("the same by the bare client", "s", each(bare, took)),
		of("multiple of the bare client", "×", times).within(budget),
		of("CPU of it all, the control plane included", "s", each(ours, work)),
		of("the same with the bare client", "s", each(bare, work)),
		of("multiple of the bare client, in CPU", "×", efforts),
		of("CPU of the agent", "s", each(ours, func(r rollout) float64 { return r.agent.Seconds() })),
		of(fmt.Sprintf("API requests for a branch, where the bare client sends %d", objectsPerBranch+1), "", each(ours, func(r rollout) float64 { return r.requests })),
	}
}

// stand rolls the branches out unless they are already there.
func (b *bench) stand() *team {
	if b.standing == nil {
		b.standing = b.follow("ours")
		b.awaitHealthy(b.standing)
	}
	return b.standing
}
