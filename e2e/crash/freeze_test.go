package crash

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

// The leader is frozen until another agent leads, and then continues with its interrupted work. One or two of three
// agents are frozen at any time, and one always runs.
func TestFrozenWhileAnotherLeads(t *testing.T) {
	w := begin(t, "--leader-elect", "--lease-duration", "3s")
	t.Logf("seed %d: go test ./crash -run '^%s$' -freezes %d -seed %d", *seed, t.Name(), *freezes, *seed)
	c := &crew{agents: []*world.Agent{w.Agent, w.Agent.Twin("second"), w.Agent.Twin("third")}}
	for _, agent := range c.agents {
		start(t, agent)
	}
	c.work = busy(t, w, rand.New(rand.NewPCG(*seed, 2)))
	explain(t, c.work, c.agents...)
	for range *freezes {
		c.during(c.between(50*time.Millisecond, 1500*time.Millisecond))
		c.freeze()
		c.during(c.between(50*time.Millisecond, time.Second))
		c.thaw(c.dice.IntN(2))
	}
	c.thaw(0)
	t.Logf("frozen %d times; %d agents were about to write when they thawed; %d gave up by themselves, because the machine was too slow for their lease",
		*freezes, c.interrupted(), c.gaveUp)
	c.ends()
}

// crew are the agents of one installation. One of them leads.
type crew struct {
	*work
	agents []*world.Agent
	frozen []*world.Agent // the longest frozen first
	gaveUp int
}

// freeze freezes the leader, and lets the team work until another agent leads.
func (c *crew) freeze() {
	c.t.Helper()
	var leads *world.Agent
	c.until("one leads, and is frozen", func() bool {
		leads = c.leads()
		return leads != nil && leads.Freeze() == nil // it may have just ended
	})
	c.frozen = append(c.frozen, leads)
	c.until("another leads", func() bool { return c.leads() != nil })
}

// thaw thaws all frozen agents except the given number of last ones. Each finds that it no longer leads, ends, and is
// restarted.
func (c *crew) thaw(but int) {
	c.t.Helper()
	for len(c.frozen) > but {
		agent := c.frozen[0]
		if err := agent.Thaw(); err != nil {
			c.t.Fatal(err)
		}
		c.until("the frozen one finds that it leads no more, and ends", func() bool { return !agent.Running() })
		c.frozen = c.frozen[1:]
		c.restart(agent)
	}
}

// interrupted counts the agents that were about to write when they were thawed.
func (c *crew) interrupted() (count int) {
	for _, agent := range c.agents {
		count += strings.Count(agent.Log("writes are blocked, because another agent may lead"), "\n")
	}
	return count
}

func (c *crew) restart(agent *world.Agent) {
	c.t.Helper()
	if err := agent.Stop(); err != nil {
		c.t.Fatal(err)
	}
	start(c.t, agent)
}

// leads returns the leading agent, or nil while no running agent leads.
func (c *crew) leads() *world.Agent {
	c.t.Helper()
	holder := c.holder()
	for _, agent := range c.agents {
		switch {
		case slices.Contains(c.frozen, agent):
		case !agent.Running():
			c.gaveUp++
			c.restart(agent)
		case holder != "" && agent.Log("identity="+holder) != "":
			return agent
		}
	}
	return nil
}

// holder returns the holder of the lease, or "" if there is none.
func (c *crew) holder() string {
	c.t.Helper()
	lease, err := c.client.Resource(leases).Namespace(deploy.Namespace).Get(c.t.Context(), "berth-agent", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		c.t.Fatal(err)
	}
	holder, _, _ := unstructured.NestedString(lease.Object, "spec", "holderIdentity")
	return holder
}

// until lets the team work until done returns true.
func (w *work) until(what string, done func() bool) {
	w.t.Helper()
	for over := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(over) {
			w.t.Fatalf("worked on in vain until %s", what)
		}
		w.during(100 * time.Millisecond)
	}
}
