package crash

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

// reporter is a test whose context lasts until its cleanup is done.
type reporter struct{ *testing.T }

func (reporter) Context() context.Context { return context.Background() }

// during lets the team work while the time passes.
func (w *work) during(d time.Duration) {
	over := time.After(d)
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Duration(100+w.dice.IntN(500)) * time.Millisecond):
			w.happens()
		}
	}
}

// between is a random time.
func (w *work) between(shortest, longest time.Duration) time.Duration {
	return shortest + time.Duration(w.dice.Int64N(int64(longest-shortest)))
}

func TestKilledAtAnyMoment(t *testing.T) {
	killed(t, func(*work) {})
}

// Without its record the agent knows less, and looks at what there is.
func TestKilledAndTheRecordsGone(t *testing.T) {
	killed(t, func(team *work) {
		if team.dice.IntN(3) > 0 {
			return
		}
		records := team.client.Resource(secrets).Namespace(deploy.Namespace)
		if err := records.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "berth.dev/record"}); err != nil {
			t.Fatal(err)
		}
	})
}

// killed kills the agent at random moments, and does something before it starts again.
func killed(t *testing.T, meanwhile func(*work)) {
	w := begin(t)
	t.Logf("seed %d", *seed)
	start(t, w.Agent)
	team := busy(t, w, rand.New(rand.NewPCG(*seed, 1)))
	explain(t, team, w.Agent)
	for range *moments {
		team.during(team.between(50*time.Millisecond, 2500*time.Millisecond))
		if err := w.Agent.Kill(); err != nil {
			t.Fatal(err)
		}
		meanwhile(team)
		start(t, w.Agent)
	}
	team.ends()
}

// One agent is frozen until the other leads, and goes on with what it was about to do.
func TestFrozenWhileAnotherLeads(t *testing.T) {
	w := begin(t, "--leader-elect")
	t.Logf("seed %d", *seed)
	start(t, w.Agent)
	team := busy(t, w, rand.New(rand.NewPCG(*seed, 2)))
	explain(t, team, w.Agent)
	leads, waits := w.Agent, w.Agent.Twin()
	team.until("one leads", func() bool { return team.leader() != "" })
	start(t, waits)
	t.Cleanup(func() { _ = waits.Kill(); _ = leads.Kill() })
	for range *freezes {
		team.during(team.between(500*time.Millisecond, 3*time.Second))
		frozen := team.leader()
		if err := leads.Freeze(); err != nil {
			t.Fatal(err)
		}
		team.until("the other leads", func() bool { return team.leader() != frozen })
		team.during(team.between(500*time.Millisecond, 3*time.Second))
		if err := leads.Thaw(); err != nil {
			t.Fatal(err)
		}
		team.until("the frozen one finds that it leads no more, and ends", func() bool { return !leads.Running() })
		if err := leads.Stop(); err != nil {
			t.Fatal(err)
		}
		start(t, leads)
		leads, waits = waits, leads
	}
	team.ends()
}

// until lets the team work until something has come about.
func (w *work) until(what string, done func() bool) {
	w.t.Helper()
	for over := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(over) {
			w.t.Fatalf("worked on in vain until %s", what)
		}
		w.during(100 * time.Millisecond)
	}
}

// leader returns who holds the lease; empty while nobody does.
func (w *work) leader() string {
	w.t.Helper()
	lease, err := w.client.Resource(leases).Namespace(deploy.Namespace).Get(w.t.Context(), "berth-agent", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		w.t.Fatal(err)
	}
	holder, _, _ := unstructured.NestedString(lease.Object, "spec", "holderIdentity")
	return holder
}

func start(t *testing.T, agent *world.Agent) {
	t.Helper()
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
}

func explain(t *testing.T, team *work, agent *world.Agent) {
	t.Cleanup(func() {
		if t.Failed() {
			team.Explain()
		}
		if err := agent.Kill(); err != nil {
			t.Error(err)
		}
	})
}
