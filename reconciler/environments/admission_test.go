package environments

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/fleet"
	"berth.dev/berth/reconciler/live"
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

func TestAnEnvironmentThatWaitsForImagesHasNoTurn(t *testing.T) {
	e := New(Config{SyncAtOnce: 1, Requeue: func(types.NamespacedName) {}})
	a, b := apitest.Environment(apitest.Repository(), "review", "a"), apitest.Environment(apitest.Repository(), "review", "b")
	admit := func(env *v1alpha1.Environment) (why string, withoutTurn bool) {
		s := &settings{Environment: reconciler.Environment{Commit: apitest.Commit("1"), WaitForImages: time.Minute}}
		why, err := e.admit(t.Context(), env, s)
		if err != nil {
			t.Fatal(err)
		}
		return why, s.WithoutTurn
	}
	passed := func(env *v1alpha1.Environment, j reconciler.Judged, again bool) {
		e.endTurn(env, apitest.Commit("1"), reconciler.Outcome{Finding: j, Again: again})
	}
	if why, without := admit(&a); why != "" || without {
		t.Fatalf("the first pass has no turn: %q", why)
	}
	passed(&a, reconciler.Judged{State: "Waiting", CommitState: reconciler.Awaiting, ForImages: true}, false)
	if why, _ := admit(&b); why != "" {
		t.Fatalf("another environment waits for one that waits for images: %q", why)
	}
	if why, without := admit(&a); why != "" || !without {
		t.Fatalf("while it waits, it is not reconciled: %q", why)
	}
	e.endTurn(&a, apitest.Commit("1"), reconciler.Outcome{Finding: reconciler.NotJudged{}})
	if why, without := admit(&a); why != "" || !without {
		t.Fatalf("while a watch is being started, it is not reconciled: %q", why)
	}
	passed(&a, reconciler.Judged{State: "Failed", CommitState: reconciler.Rejected, ForImages: true}, false)
	if why, without := admit(&a); why != "" || !without {
		t.Fatalf("after the wait, it is not reconciled: %q", why)
	}
	passed(&a, reconciler.Judged{State: "Waiting", CommitState: reconciler.Arrived}, true)
	if why, _ := admit(&a); why == "" {
		t.Fatal("with the images, it begins without a turn")
	}
	passed(&b, reconciler.Judged{State: "Settled"}, false)
	if why, without := admit(&a); why != "" || without {
		t.Fatalf("it gets no turn: %q", why)
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

// listing is a client that calls a function after each list was read.
type listing struct {
	client.Client
	then func()
}

func (l *listing) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := l.Client.List(ctx, list, options...)
	l.then()
	return err
}

// contest returns a controller, the holder of the only slot of an entry, and another Environment that asks for it.
func contest(t *testing.T) (e *Controller, cache *listing, holder, next v1alpha1.Environment, ask func() string) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	repo := apitest.Repository()
	holder, next = apitest.Environment(repo, "review", "a"), apitest.Environment(repo, "review", "b")
	holder.Status.AppliedCommit, holder.Finalizers = apitest.Commit("a"), nil
	cache = &listing{fake.NewClientBuilder().WithScheme(scheme).WithObjects(&holder, &next).Build(), func() {}}
	home := reconciler.New(reconciler.Config{Cluster: &clusters.Cluster{Watches: live.New(live.Config{})}})
	e = New(Config{Client: cache, Fleet: fleet.New(fleet.Config{Home: home}), Recall: func(*v1alpha1.Environment) {}, Requeue: func(types.NamespacedName) {}})
	ask = func() string {
		t.Helper()
		s := &settings{Environment: reconciler.Environment{Commit: apitest.Commit("b")}, repository: repo, entry: "review", limit: 1}
		why, err := e.admit(t.Context(), &next, s)
		if err != nil {
			t.Fatal(err)
		}
		return why
	}
	return e, cache, holder, next, ask
}

// The status Queued is not written yet when the slot becomes free, and the list that shows the holder is older.
func TestASlotThatBecomesFreeWhileAnEnvironmentAsksIsNotMissed(t *testing.T) {
	e, cache, holder, next, ask := contest(t)
	var requeued []types.NamespacedName
	e.Requeue = func(name types.NamespacedName) { requeued = append(requeued, name) }
	cache.then = func() {
		cache.then = func() {}
		if err := cache.Delete(t.Context(), &holder); err != nil {
			t.Fatal(err)
		}
		e.vacated(t.Context(), client.ObjectKeyFromObject(&holder), remembered{Environment: reconciler.Environment{Repository: "posts"}, uid: holder.UID})
	}
	if why := ask(); why == "" {
		t.Fatal("the holder was not seen")
	}
	if !slices.Contains(requeued, client.ObjectKeyFromObject(&next)) {
		t.Errorf("it waits for ever: %v were requeued", requeued)
	}
	if why := ask(); why != "" {
		t.Errorf("it still waits: %s", why)
	}
}

// The cache shows the status of a moment ago, in which the holder has not expired.
func TestASlotOfAnEnvironmentThatHasJustExpiredIsFree(t *testing.T) {
	e, _, holder, _, ask := contest(t)
	if why := ask(); why == "" {
		t.Fatal("two have the only slot")
	}
	e.Recall = func(env *v1alpha1.Environment) {
		if env.UID == holder.UID {
			apitest.Reason(v1alpha1.ReasonExpired)(env)
			env.Status.Activity, env.Status.AppliedCommit = branches.Activity(env), ""
		}
	}
	if why := ask(); why != "" {
		t.Errorf("it waits: %s", why)
	}
}
