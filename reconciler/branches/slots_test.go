package branches

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

func TestPlace(t *testing.T) {
	held := func(name string, born int64) contender { return contender{name, types.UID(name), born, true} }
	waits := func(name string, born int64) contender { return contender{name, types.UID(name), born, false} }
	for _, test := range []struct {
		name  string
		all   []contender
		limit int
		want  int // of "x"
	}{
		{"alone", []contender{waits("x", 1)}, 1, 0},
		{"a slot is free", []contender{held("a", 1), waits("x", 2)}, 2, 0},
		{"no slot is free", []contender{held("a", 1), waits("x", 2)}, 1, 1},
		{"who has one keeps it", []contender{held("x", 9), waits("a", 1)}, 1, 0},
		{"who has one keeps it beyond a lower limit", []contender{held("x", 9), held("a", 1), held("b", 2)}, 1, 0},
		{"the oldest first", []contender{held("a", 1), waits("b", 2), waits("x", 3), waits("c", 4)}, 1, 2},
		{"the oldest take what is free", []contender{waits("b", 2), waits("x", 3), waits("c", 4)}, 1, 1},
		{"by name where the second is the same", []contender{waits("y", 1), waits("x", 1)}, 1, 0},
		{"many slots are free", []contender{waits("b", 2), waits("x", 3)}, 9, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := place(test.all, "x", test.limit); got != test.want {
				t.Errorf("place %d, want %d", got, test.want)
			}
		})
	}
}

func TestBerthsAreNeverTakenTwice(t *testing.T) {
	repo := apitest.Repository()
	var all []v1alpha1.Environment
	for i, branch := range []string{"f0", "f1", "f2"} {
		all = append(all, apitest.Environment(repo, "review", branch, func(env *v1alpha1.Environment) {
			env.CreationTimestamp = metav1.Unix(int64(i), 0)
		}))
	}
	expired := apitest.Environment(repo, "review", "e", apitest.Reason(v1alpha1.ReasonExpired))
	expired.Status.Activity = Activity(&expired)
	all = append(all, expired)
	shown := func(*v1alpha1.Environment) bool { return false } // the cluster is late
	b := NewSlots()
	take := func(i int) string { return b.Take(&all[i], all, 1, shown) }

	if why := take(1); !strings.Contains(why, "place 1 in the queue") {
		t.Errorf("the second waits: %q", why)
	}
	if why := take(0); why != "" {
		t.Errorf("the first waits: %q", why)
	}
	if why := take(2); !strings.Contains(why, "place 2 in the queue") {
		t.Errorf("the third waits: %q", why)
	}
	b.Release(all[0].UID)
	all = all[1:]
	if why := take(0); why != "" {
		t.Errorf("the second waits when the first is gone: %q", why)
	}
	if b.Release(all[0].UID); b.Has(all[0].UID) {
		t.Error("the second keeps a slot that was released")
	}
	if why := take(0); why != "" || !b.Has(all[0].UID) {
		t.Errorf("the second waits: %q", why)
	}
	all[2].Spec.Commit = apitest.Commit("b") // a push to the branch that had expired, the oldest of all
	if why := take(2); !strings.Contains(why, "place 1 in the queue") {
		t.Errorf("the revived one waits: %q", why)
	}
	if why := take(1); !strings.Contains(why, "place 2 in the queue") {
		t.Errorf("the third waits behind the revived one: %q", why)
	}
}

// An expired environment needs no slot until it is used again, but a slot that it has is not free.
func TestWhoCountsForTheLimit(t *testing.T) {
	repo := apitest.Repository()
	env := func(branch string, born int64, change ...func(*v1alpha1.Environment)) v1alpha1.Environment {
		e := apitest.Environment(repo, "review", branch, change...)
		e.CreationTimestamp, e.Status.Activity = metav1.Unix(born, 0), Activity(&e)
		return e
	}
	expired := apitest.Reason(v1alpha1.ReasonExpired)
	for _, test := range []struct {
		name  string
		other v1alpha1.Environment
		holds bool // whether the cluster shows that the other one has a slot
		taken bool // whether the other one took a slot before
		env   v1alpha1.Environment
		want  bool
	}{
		{name: "an older one that waits", other: env("f0", 1), env: env("f1", 2)},
		{name: "one that was given a slot, which the cluster does not show", other: env("f0", 3), taken: true, env: env("f1", 2)},
		{name: "one that has a slot, as the cluster shows", other: env("f0", 3), holds: true, env: env("f1", 2)},
		{name: "not one that has expired", other: env("f0", 1, expired), env: env("f1", 2), want: true},
		{name: "one that has expired, and has not released its slot", other: env("f0", 1, expired), taken: true, env: env("f1", 2)},
		{name: "the one that asks, although it has expired", other: env("f0", 1), holds: true, env: env("f1", 2, expired)},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, all := NewSlots(), []v1alpha1.Environment{test.other, test.env}
			if test.taken {
				s.held[test.other.UID] = true
			}
			why := s.Take(&test.env, all, 1, func(o *v1alpha1.Environment) bool { return test.holds && o.UID == test.other.UID })
			if (why == "") != test.want || s.Has(test.env.UID) != test.want {
				t.Errorf("it waits: %q", why)
			}
		})
	}
}

func TestTurns(t *testing.T) {
	name := func(text string) types.NamespacedName { return types.NamespacedName{Name: text} }
	in := NewTurns(2)
	take := func(text string, want bool) {
		t.Helper()
		repository, _, _ := strings.Cut(text, "-")
		if why := in.Take(name(text), repository); (why == "") != want {
			t.Errorf("%s waits: %q", text, why)
		}
	}
	give := func(text string, want ...string) {
		t.Helper()
		var got []string
		for _, n := range in.End(name(text)) {
			got = append(got, n.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %s, %q are let in, want %q", text, got, want)
		}
	}
	take("a-1", true)
	take("a-2", true)
	take("a-3", false)
	take("a-4", false)
	take("b-1", false)
	take("a-1", true) // which has its turn already
	give("a-1", "b-1")
	take("a-3", false) // it came first, but its repository has a turn
	take("b-1", true)
	give("b-1", "a-3")
	give("b-1")
	take("a-3", true)
	in.Jump(name("p-1"), "p")
	give("a-2")
	take("a-4", false) // production counts
	give("a-4")        // it is gone
	give("p-1")
	take("b-2", true)
}

// Otherwise many branches that one push creates would keep the branch of another repository waiting.
func TestTurnsAlternateBetweenRepositories(t *testing.T) {
	in := turnsOf(3, "x-1", "x-2", "x-3", "b-1", "b-1", "b-2", "c-1") // b-1 asks twice
	lets(t, in, "x-1", "b-1")
	lets(t, in, "x-2", "b-1", "c-1")
	lets(t, in, "x-3", "b-1", "c-1", "b-2")
}

func TestWhoLeavesTheQueueLetsTheNextIn(t *testing.T) {
	in := turnsOf(1, "a-1", "b-1", "c-1")
	lets(t, in, "a-1", "b-1")
	lets(t, in, "b-1", "c-1") // it is deleted before it starts
	lets(t, in, "z-1")        // it never waited
}

func TestWhoJumpsTheQueueHasLeftIt(t *testing.T) {
	in := turnsOf(3, "a-1", "a-2", "a-3", "b-1", "b-2")
	in.Jump(types.NamespacedName{Name: "b-1"}, "b")
	lets(t, in, "a-1")
	lets(t, in, "a-2", "b-2")
}

// turnsOf returns Turns that these environments have asked for, of repositories with one letter.
func turnsOf(limit int, environments ...string) *Turns {
	in := NewTurns(limit)
	for _, text := range environments {
		in.Take(types.NamespacedName{Name: text}, text[:1])
	}
	return in
}

// lets ends a turn, and checks which environments can start.
func lets(t *testing.T, in *Turns, ended string, want ...string) {
	t.Helper()
	var got []string
	for _, n := range in.End(types.NamespacedName{Name: ended}) {
		got = append(got, n.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("after %s, %q can start, want %q", ended, got, want)
	}
}

func TestWithoutABoundNobodyWaits(t *testing.T) {
	in := NewTurns(0)
	for _, n := range []string{"a", "b", "c"} {
		if why := in.Take(types.NamespacedName{Name: n}, "posts"); why != "" {
			t.Errorf("%s waits: %q", n, why)
		}
	}
}
