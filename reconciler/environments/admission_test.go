package environments

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler"
)

func TestEndOfATurn(t *testing.T) {
	unavailable := errors.New("the server does not answer")
	for _, test := range []struct {
		name         string
		outcome      reconciler.Outcome
		given, ended bool
	}{
		{"it syncs", reconciler.Outcome{Finding: reconciler.Judged{State: "Going"}}, false, false},
		{"it syncs what ran before", reconciler.Outcome{Finding: reconciler.Judged{State: "Going"}, Err: unavailable}, false, false},
		{"it is healthy", reconciler.Outcome{Finding: reconciler.Judged{State: "Settled"}}, true, true},
		{"it has failed", reconciler.Outcome{Finding: reconciler.Judged{State: "Failed"}}, true, true},
		{"it waits for a watch", reconciler.Outcome{Finding: reconciler.NotJudged{}}, false, false},
		{"it waits for Git", reconciler.Outcome{Finding: reconciler.NotJudged{}, Err: unavailable}, true, false},
		{"it waits for Git, and runs what ran before", reconciler.Outcome{Finding: reconciler.Judged{State: "Settled"}, Err: unavailable}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requeued []types.NamespacedName
			e := New(Config{SyncAtOnce: 1, Requeue: func(n types.NamespacedName) { requeued = append(requeued, n) }})
			env, next := apitest.Environment(apitest.Repository(), "review", "f0"), apitest.Environment(apitest.Repository(), "review", "f1")
			e.turns.Take(client.ObjectKeyFromObject(&env), "posts")
			e.turns.Take(client.ObjectKeyFromObject(&next), "posts")
			e.endTurn(&env, apitest.Commit("a"), test.outcome)
			if given := len(requeued) == 1; given != test.given {
				t.Errorf("the turn is given back: %t, want %t", given, test.given)
			}
			if ended := e.endedWith(&env) == apitest.Commit("a"); ended != test.ended {
				t.Errorf("the commit counts as tried: %t, want %t", ended, test.ended)
			}
		})
	}
}

// A branch that moves back to what runs has nothing to wait for; it stayed at the head of the queue for ever.
func TestWhoHasNothingToSyncLeavesTheQueue(t *testing.T) {
	e := New(Config{SyncAtOnce: 1, Requeue: func(types.NamespacedName) {}})
	a, b, c := apitest.Environment(apitest.Repository(), "review", "a"), apitest.Environment(apitest.Repository(), "review", "b"), apitest.Environment(apitest.Repository(), "review", "c")
	admit := func(env *v1alpha1.Environment, to string) string {
		why, err := e.admit(t.Context(), env, &settings{Environment: reconciler.Environment{Commit: apitest.Commit(to)}})
		if err != nil {
			t.Fatal(err)
		}
		return why
	}
	b.Status.HealthyCommit = apitest.Commit("0")
	if admit(&a, "1") != "" || admit(&b, "1") == "" || admit(&c, "1") == "" {
		t.Fatal("not one of the three syncs")
	}
	admit(&b, "0")
	e.endTurn(&a, apitest.Commit("1"), reconciler.Outcome{Finding: reconciler.Judged{State: "Settled"}})
	if why := admit(&c, "1"); why != "" {
		t.Errorf("the last one waits: %q", why)
	}
}

// Holding a slot must not require reading other Environments, at any reconcile.
func TestWhoHasABerthLooksAtNobodyElse(t *testing.T) {
	env := apitest.Environment(apitest.Repository(), "review", "f")
	env.Status.HealthyCommit = apitest.Commit("a")
	e := New(Config{}) // it has no client to ask with
	e.slots.Take(&env, []v1alpha1.Environment{env}, 1, func(*v1alpha1.Environment) bool { return true })
	s := &settings{Environment: reconciler.Environment{Commit: apitest.Commit("a")}, limit: 1}
	if why, err := e.admit(t.Context(), &env, s); why != "" || err != nil {
		t.Errorf("it waits: %q, %v", why, err)
	}
}
