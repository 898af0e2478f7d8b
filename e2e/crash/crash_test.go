package crash

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

// reporter is a test whose context lasts until its cleanup has finished.
type reporter struct{ *testing.T }

func (reporter) Context() context.Context { return context.Background() }

// during lets the team work for a time.
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

// between returns a random duration.
func (w *work) between(shortest, longest time.Duration) time.Duration {
	return shortest + time.Duration(w.dice.Int64N(int64(longest-shortest)))
}

func TestKilledAtAnyMoment(t *testing.T) {
	killed(t, func(*work) {}).ends()
}

// Without its record the agent knows less, and relies on the live objects.
func TestKilledAndTheRecordsGone(t *testing.T) {
	team := killed(t, func(team *work) {
		if team.dice.IntN(3) == 0 {
			team.loseRecords()
		}
	})
	team.runs.forgets(brief)
	team.ends()
	team.tellsWhatIsLost()
}

// killed kills the agent at random moments, and calls meanwhile before each restart.
func killed(t *testing.T, meanwhile func(*work)) *work {
	t.Parallel()
	w := begin(t)
	t.Logf("seed %d: go test ./crash -run '^%s$' -moments %d -seed %d", *seed, t.Name(), *moments, *seed)
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
	t.Logf("killed %d times", *moments)
	return team
}

func (w *work) loseRecords() {
	w.t.Helper()
	records := w.client.Resource(secrets).Namespace(deploy.Namespace)
	if err := records.DeleteCollection(w.t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "berth.dev/record"}); err != nil {
		w.t.Fatal(err)
	}
}

// tellsWhatIsLost deletes the records of a world at rest. Nothing changes except for what the agent warns of: a Job
// runs again if only the record knew that it had run.
func (w *work) tellsWhatIsLost() {
	w.t.Helper()
	if err := w.agent.Kill(); err != nil {
		w.t.Fatal(err)
	}
	warnings := w.client.Resource(events).Namespace(deploy.Namespace)
	if err := warnings.DeleteCollection(w.t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.loseRecords()
	before := w.runs.of(brief)
	start(w.t, w.agent)
	want := map[string]bool{}
	for branch := range w.heads {
		environment, _ := w.Environment(branch).Get()
		want[environment.Name] = true
	}
	world.AwaitFor(w.t, 2*time.Minute, "every environment says what is lost", func() (string, bool) {
		got := map[string]bool{}
		list, err := warnings.List(w.t.Context(), metav1.ListOptions{FieldSelector: "reason=RecordLost"})
		if err != nil {
			return err.Error(), false
		}
		for _, event := range list.Items {
			note, _, _ := unstructured.NestedString(event.Object, "note")
			about, _, _ := unstructured.NestedString(event.Object, "regarding", "name")
			got[about] = strings.Contains(note, "a Job that had run and is not in the cluster any more runs again")
		}
		return fmt.Sprint(got), maps.Equal(got, want)
	})
	world.AwaitFor(w.t, 2*time.Minute, "the Jobs that only the records knew of run once more", func() (string, bool) {
		again := w.runs.of(brief) - before
		return fmt.Sprint(again), again == len(w.heads)
	})
	w.ends()
}

func start(t *testing.T, agent *world.Agent) {
	t.Helper()
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
}

func explain(t *testing.T, team *work, agents ...*world.Agent) {
	t.Cleanup(func() {
		if t.Failed() {
			team.Explain()
		}
		for _, agent := range agents {
			if err := agent.Kill(); err != nil {
				t.Error(err)
			}
		}
	})
}
