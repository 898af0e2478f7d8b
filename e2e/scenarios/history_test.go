package scenarios

import (
	"slices"
	"testing"

	"berth.dev/berth/e2e/world"
)

// outcomes returns the results of the last syncs, the newest first, with abbreviated commits.
func outcomes(e *world.Environment) (list []string) {
	environment, _ := e.Get()
	for _, sync := range environment.Status.History {
		list = append(list, sync.Commit[:8]+" "+sync.Outcome)
	}
	return list
}

func TestTheHistoryTellsWhatBecameOfEveryCommit(t *testing.T) {
	t.Parallel()
	posts := begins(t, "history")
	production := posts.Environment("main")
	first := posts.pushes("main", application())
	production.Becomes("Healthy", first)
	slow := posts.pushes("main", map[string]string{"k8s/worker.yaml": deployment("worker", "labels: {kwok.berth.dev/behaviour: pending}")})
	production.Becomes("Syncing", slow, "Deployment/worker")
	bad := posts.pushes("main", map[string]string{"k8s/worker.yaml": deployment("worker", crashes)})
	production.Becomes("Failed", bad, "Deployment/worker")
	unreadable := posts.pushes("main", map[string]string{"k8s/worker.yaml": "kind: ["})
	production.Becomes("Failed", unreadable, "k8s/worker.yaml")
	reverted := posts.pushes("main", map[string]string{"k8s/worker.yaml": deployment("worker", "")})
	production.Becomes("Healthy", reverted)
	documented := posts.pushes("main", map[string]string{"README.md": "Nothing that counts.\n"})
	production.Becomes("Healthy", documented)

	want := []string{reverted[:8] + " Healthy", unreadable[:8] + " Failed", bad[:8] + " Failed", slow[:8] + " Superseded", first[:8] + " Healthy"}
	if got := outcomes(production); !slices.Equal(got, want) {
		t.Errorf("the history is %q, want %q", got, want)
	}
	environment, _ := production.Get()
	for _, sync := range environment.Status.History {
		if (sync.Took.Duration == 0) != (sync.Commit == unreadable) {
			t.Errorf("%s of %.8s took %s", sync.Outcome, sync.Commit, sync.Took.Duration)
		}
	}
}
