package branches

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source"
)

// scene is the state when a listing arrives.
type scene struct {
	repo *v1alpha1.Repository
	have []v1alpha1.Environment
	Evidence
}

// listed returns a scene with production and some reviews running and all branches listed, after the changes.
func listed(reviews int, change ...func(*scene)) scene {
	s := scene{repo: apitest.Repository(), Evidence: Evidence{
		Listing:   source.Listing{Default: "main", Heads: map[string]string{"main": apitest.Commit("a")}},
		Current:   true,
		Absent:    map[string]Absence{},
		Now:       apitest.Noon,
		GoneAfter: 5 * time.Minute,
	}}
	s.have = append(s.have, apitest.Environment(s.repo, "production", "main"))
	for i := range reviews {
		branch := fmt.Sprintf("f%d", i)
		s.Listing.Heads[branch] = apitest.Commit("a")
		s.have = append(s.have, apitest.Environment(s.repo, "review", branch))
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

// without removes branches from the listing, as missing for a number of listings and some time.
func without(listings int, since time.Duration, branches ...string) func(*scene) {
	return func(s *scene) {
		for _, branch := range branches {
			delete(s.Listing.Heads, branch)
			s.Absent[branch] = Absence{Since: apitest.Noon.Add(-since), Listings: listings}
		}
	}
}

// expired marks some of the reviews as expired.
func expired(from, to int) func(*scene) {
	return func(s *scene) {
		for i := from; i < to; i++ {
			apitest.Reason(v1alpha1.ReasonExpired)(&s.have[1+i])
		}
	}
}

// queued marks some of the reviews as waiting for their first sync.
func queued(from, to int) func(*scene) {
	return func(s *scene) {
		for i := from; i < to; i++ {
			apitest.Reason(v1alpha1.ReasonQueued)(&s.have[1+i])
		}
	}
}

// idle marks the first reviews as due to expire.
func idle(n int) func(*scene) {
	return func(s *scene) {
		for i := range n {
			s.Over = append(s.Over, &s.have[1+i])
		}
	}
}

// confirming marks some of the reviews as confirmed by a user.
func confirming(branches ...string) func(*scene) {
	return func(s *scene) {
		s.Confirmed = map[string]bool{}
		for _, branch := range branches {
			s.Confirmed["posts.review."+branch] = true
		}
	}
}

// takenDown starts the teardown of the first reviews some time ago.
func takenDown(n int, since time.Duration) func(*scene) {
	return func(s *scene) {
		for i := range n {
			env := &s.have[1+i]
			env.DeletionTimestamp = &metav1.Time{Time: apitest.Noon.Add(-since)}
			apitest.Reason(v1alpha1.ReasonDeleting)(env)
		}
	}
}

func entries(change func(r *v1alpha1.Repository)) func(*scene) {
	return func(s *scene) { change(s.repo) }
}

func review(r *v1alpha1.Repository) *v1alpha1.Entry { return &r.Spec.Environments[1] }

func TestWhatGoes(t *testing.T) {
	for _, test := range []struct {
		name  string
		scene scene
		gone  []string // the branches whose environments go
		notes []string
		next  time.Duration
		list  time.Duration // when the branches must be listed again
	}{
		{name: "nothing, when all is as it was", scene: listed(3)},
		{name: "nothing at the first listing without a branch", scene: listed(3, without(1, time.Hour, "f0")), list: -55 * time.Minute},
		{name: "nothing at the first listing, and another one once goneAfter is over", scene: listed(3, without(1, 0, "f0"), without(1, time.Minute, "f1")), list: 4 * time.Minute},
		{name: "nothing before goneAfter", scene: listed(3, without(9, 4*time.Minute, "f0")), next: time.Minute},
		{name: "a branch that two listings lacked, and for long enough", scene: listed(3, without(2, 5*time.Minute, "f0")), gone: []string{"f0"}},
		{
			name:  "nothing while the newest listing failed",
			scene: listed(3, without(2, time.Hour, "f0"), func(s *scene) { s.Current = false }),
		},
		{
			name:  "nothing without the default branch",
			scene: listed(1, without(9, time.Hour, "f0"), func(s *scene) { s.Listing.Default = "trunk" }),
			notes: []string{"branch f0 is missing, and so is the default branch"},
		},
		{
			name:  "nothing when HEAD leads nowhere",
			scene: listed(1, without(9, time.Hour, "f0"), func(s *scene) { s.Listing.Default = "" }),
			notes: []string{"branch f0 is missing"},
		},
		{
			name:  "a literal entry's branch, like any other",
			scene: listed(1, without(2, time.Hour, "main"), func(s *scene) { s.Listing.Default = "f0" }),
			gone:  []string{"main"},
			notes: []string{"the repository has no branch main", "the default branch f0 keeps its environment posts.review.f0"},
		},
		{
			name:  "what the pattern no longer matches, at once",
			scene: listed(3, entries(func(r *v1alpha1.Repository) { review(r).Branches = append(review(r).Branches, "!f0") })),
			gone:  []string{"f0"},
		},
		{
			name:  "what the pattern no longer matches, even while the server is down",
			scene: listed(3, entries(func(r *v1alpha1.Repository) { review(r).Branches = append(review(r).Branches, "!f0") }), func(s *scene) { s.Current = false }),
			gone:  []string{"f0"},
		},
		{
			name:  "nothing of an entry whose patterns became invalid",
			scene: listed(3, entries(func(r *v1alpha1.Repository) { review(r).Branches = []v1alpha1.BranchPattern{"a b"} })),
			notes: []string{"entry review: branch pattern"},
		},
		{
			name:  "all of an entry that was removed",
			scene: listed(3, entries(func(r *v1alpha1.Repository) { r.Spec.Environments = r.Spec.Environments[:1] })),
			gone:  []string{"f0", "f1", "f2"},
		},
		{
			name:  "all of an entry that was removed, even where the branch is missing too",
			scene: listed(3, without(1, 0, "f0"), entries(func(r *v1alpha1.Repository) { r.Spec.Environments = r.Spec.Environments[:1] })),
			gone:  []string{"f0", "f1", "f2"},
		},
		{
			name: "what the pattern no longer matches, even while another entry is invalid",
			scene: listed(3, entries(func(r *v1alpha1.Repository) {
				r.Spec.Environments[0].Branches = []v1alpha1.BranchPattern{"a b"}
				review(r).Branches = append(review(r).Branches, "!f0")
			})),
			gone:  []string{"f0"},
			notes: []string{"entry production: branch pattern"},
		},
		{
			name:  "nothing of an entry that was renamed",
			scene: listed(9, entries(func(r *v1alpha1.Repository) { review(r).Name = "preview" })),
		},
		{
			name: "nothing of an entry that was renamed, and whose patterns became invalid",
			scene: listed(3, entries(func(r *v1alpha1.Repository) {
				review(r).Name, review(r).Branches = "preview", []v1alpha1.BranchPattern{"a b"}
			})),
			notes: []string{"entry preview: branch pattern"},
		},
		{
			name:  "all of a pattern's entry whose namespace was changed",
			scene: listed(2, entries(func(r *v1alpha1.Repository) { review(r).Namespace = "other-${BRANCH_SLUG}" })),
			gone:  []string{"f0", "f1"},
		},
		{
			name:  "nothing of a literal entry whose namespace was changed",
			scene: listed(2, entries(func(r *v1alpha1.Repository) { r.Spec.Environments[0].Namespace = "other" })),
			notes: []string{"entry production: the namespace is now other, but its objects stay in posts"},
		},
		{name: "nothing twice", scene: listed(3, without(2, time.Hour, "f0"), func(s *scene) { apitest.Deleted(&s.have[1]) })},
		{name: "three of four", scene: listed(3, without(2, time.Hour, "f0", "f1", "f2")), gone: []string{"f0", "f1", "f2"}},
		{
			name:  "not four of five",
			scene: listed(4, without(2, time.Hour, "f0", "f1", "f2", "f3")),
			notes: []string{"4 of 5 environments would be deleted at once"},
		},
		{
			name:  "six of twenty, which are exactly the share that may go",
			scene: listed(19, without(2, time.Hour, "f0", "f1", "f2", "f3", "f4", "f5")),
			gone:  []string{"f0", "f1", "f2", "f3", "f4", "f5"},
		},
		{
			name:  "nothing yet, and the first to go decides when to look again",
			scene: listed(5, without(2, time.Minute, "f0"), without(2, 3*time.Minute, "f1"), without(2, 2*time.Minute, "f2")),
			next:  2 * time.Minute,
		},
		{name: "four of twenty", scene: listed(19, without(2, time.Hour, "f0", "f1", "f2", "f3")), gone: []string{"f0", "f1", "f2", "f3"}},
		{
			name:  "not one more while three go by another way",
			scene: listed(9, without(2, time.Hour, "f3"), func(s *scene) { apitest.Deleted(&s.have[1]); apitest.Deleted(&s.have[2]); apitest.Deleted(&s.have[3]) }),
			notes: []string{"4 of 10 environments would be deleted at once"},
		},
		{
			name: "one more, when three go whose objects stay",
			scene: listed(9, without(2, time.Hour, "f3"), func(s *scene) {
				for i := range 3 {
					apitest.Deleted(&s.have[1+i])
					s.have[1+i].Finalizers = nil
				}
			}),
			gone: []string{"f3"},
		},
		{
			name: "not one more while three were deleted long ago and their teardowns have not begun",
			scene: listed(9, without(2, time.Hour, "f3"), takenDown(3, time.Hour), func(s *scene) {
				for i := range 3 {
					s.have[1+i].Status.Conditions = nil
				}
			}),
			notes: []string{"4 of 10 environments would be deleted at once"},
		},
		{
			name:  "what shows the reason of a deletion, and is not being deleted, like all others",
			scene: listed(4, without(2, time.Hour, "f0", "f1", "f2", "f3"), func(s *scene) { apitest.Reason(v1alpha1.ReasonDeleting)(&s.have[1]) }),
			notes: []string{"4 of 5 environments would be deleted at once"},
		},
		{
			name: "what was synced, and waits in the queue again, like all others",
			scene: listed(4, without(2, time.Hour, "f0", "f1", "f2", "f3"), queued(0, 4), func(s *scene) {
				for i := range s.have {
					s.have[i].Status.AppliedCommit = apitest.Commit("a")
				}
			}),
			notes: []string{"4 of 5 environments would be deleted at once"},
		},
		{
			name:  "any number that a user confirmed",
			scene: listed(4, without(2, time.Hour, "f0", "f1", "f2", "f3"), confirming("f0", "f1", "f2", "f3")),
			gone:  []string{"f0", "f1", "f2", "f3"},
		},
		{
			name:  "those that a user confirmed, and not one more",
			scene: listed(9, without(2, time.Hour, "f0", "f1", "f2", "f3", "f4"), confirming("f0", "f1", "f2", "f3")),
			gone:  []string{"f0", "f1", "f2", "f3"},
			notes: []string{"5 of 10 environments would be deleted at once; to delete them: berth confirm --repository posts (posts.review.f4 among them"},
		},
		{
			name:  "what has expired, without counting it in the message of the others",
			scene: listed(9, without(2, time.Hour, "f0", "f1", "f2", "f3", "f4"), expired(0, 1)),
			gone:  []string{"f0"},
			notes: []string{"4 of 9 environments would be deleted at once; to delete them: berth confirm --repository posts (posts.review.f1 among them"},
		},
		{
			name:  "not what is doubtful, even if a user confirmed what is not",
			scene: listed(4, without(1, time.Hour, "f0", "f1"), confirming("f0", "f1")),
			list:  -55 * time.Minute,
		},
		{
			name:  "not what stands: what has expired does not count",
			scene: listed(19, without(2, time.Hour, "f0", "f1", "f2", "f3"), expired(4, 19)),
			notes: []string{"4 of 5 environments would be deleted at once"},
		},
		{
			name:  "any number of what waits for its first sync",
			scene: listed(19, without(2, time.Hour, "f10", "f11", "f12", "f13", "f14", "f15", "f16"), queued(4, 19)),
			gone:  []string{"f10", "f11", "f12", "f13", "f14", "f15", "f16"},
		},
		{
			name:  "any number of what has expired",
			scene: listed(19, without(2, time.Hour, "f10", "f11", "f12", "f13", "f14"), expired(4, 19)),
			gone:  []string{"f10", "f11", "f12", "f13", "f14"},
		},
		{
			name:  "no message while few expire",
			scene: listed(9, idle(3)),
		},
		{
			name:  "one more, though the teardowns of three are stuck",
			scene: listed(8, without(2, time.Hour, "f3"), takenDown(3, stuckAfter+time.Second)),
			gone:  []string{"f3"},
		},
		{
			name:  "nothing, while three have only begun to go",
			scene: listed(8, without(2, time.Hour, "f3"), takenDown(3, stuckAfter)),
			notes: []string{"4 of 9 environments"},
		},
		{
			name:  "nothing, when all go that are not stuck",
			scene: listed(19, without(2, time.Hour, "f15", "f16", "f17", "f18"), takenDown(15, time.Hour)),
			notes: []string{"4 of 5 environments"},
		},
		{
			name:  "many expiries are blocked, and no deletion is",
			scene: listed(9, idle(4), without(2, time.Hour, "f8")),
			gone:  []string{"f8"},
			notes: []string{"5 of 10 environments would be deleted at once; to delete them: berth confirm --repository posts (posts.review.f0 among them: its branch has been unused"},
		},
		{
			name:  "what goes counts among what may expire",
			scene: listed(9, idle(2), without(2, time.Hour, "f7", "f8")),
			gone:  []string{"f7", "f8"},
			notes: []string{"4 of 10 environments would be deleted at once; to delete them: berth confirm --repository posts (posts.review.f0 among them"},
		},
		{
			name:  "not all of a removed entry at once",
			scene: listed(9, entries(func(r *v1alpha1.Repository) { r.Spec.Environments = r.Spec.Environments[:1] })),
			notes: []string{"9 of 10 environments would be deleted at once"},
		},
		{
			name:  "not all of an entry whose namespace was changed at once",
			scene: listed(9, entries(func(r *v1alpha1.Repository) { review(r).Namespace = "other-${BRANCH_SLUG}" })),
			notes: []string{"9 of 10 environments would be deleted at once"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Compare(test.scene.have, Want(test.scene.repo, test.scene.Listing.Heads), test.scene.Evidence)
			var gone []string
			for _, d := range c.Delete {
				gone = append(gone, d.Environment.Spec.Branch)
			}
			if !slices.Equal(gone, test.gone) {
				t.Errorf("gone are %q, want %q", gone, test.gone)
			}
			var next time.Duration
			if !c.Next.IsZero() {
				next = c.Next.Sub(apitest.Noon)
			}
			if next != test.next {
				t.Errorf("next in %s, want %s", next, test.next)
			}
			var list time.Duration
			if !c.List.IsZero() {
				list = c.List.Sub(apitest.Noon)
			}
			if list != test.list {
				t.Errorf("lists in %s, want %s", list, test.list)
			}
			sameNotes(t, slices.Concat(c.Doubts, c.Notes), test.notes)
		})
	}
}

func TestWhatIsWritten(t *testing.T) {
	for _, test := range []struct {
		name  string
		scene scene
		want  []string // name, entry, namespace
		notes int
	}{
		{
			name:  "a new branch",
			scene: listed(0, func(s *scene) { s.Listing.Heads["f0"] = apitest.Commit("b") }),
			want:  []string{"posts.production.main production posts", "posts.review.f0 review posts-f0"},
		},
		{
			name:  "a renamed entry goes on with what it has",
			scene: listed(1, entries(func(r *v1alpha1.Repository) { review(r).Name = "preview" })),
			want:  []string{"posts.production.main production posts", "posts.review.f0 review posts-f0"},
		},
		{
			name: "but not with what an entry of that name still has",
			scene: listed(1, entries(func(r *v1alpha1.Repository) {
				also := *review(r)
				also.Name = "preview"
				r.Spec.Environments = append(r.Spec.Environments, also)
			})),
			want: []string{"posts.production.main production posts", "posts.review.f0 review posts-f0", "posts.preview.f0 preview posts-f0"},
		},
		{
			name:  "nor with what is being deleted",
			scene: listed(1, entries(func(r *v1alpha1.Repository) { review(r).Name = "preview" }), func(s *scene) { apitest.Deleted(&s.have[1]) }),
			want:  []string{"posts.production.main production posts", "posts.preview.f0 preview posts-f0"},
		},
		{
			name: "an existing environment whose name is no longer usable",
			scene: listed(0, func(s *scene) {
				s.Listing.Heads["gnp\u202efdp"] = apitest.Commit("a")
				s.have = append(s.have, apitest.Environment(s.repo, "review", "gnp\u202efdp"))
			}),
			want: []string{"posts.production.main production posts", "posts.review.gnp-fdp-anxyym review posts-gnp-fdp-anxyym"},
		},
		{
			name:  "what is re-created, only once it is gone",
			scene: listed(1, entries(func(r *v1alpha1.Repository) { review(r).Namespace = "other-${BRANCH_SLUG}" })),
			want:  []string{"posts.production.main production posts"},
		},
		{
			name:  "what the deletion guard keeps from being re-created, where it is",
			scene: listed(4, entries(func(r *v1alpha1.Repository) { review(r).Namespace = "other-${BRANCH_SLUG}" })),
			want: []string{"posts.production.main production posts", "posts.review.f0 review posts-f0", "posts.review.f1 review posts-f1",
				"posts.review.f2 review posts-f2", "posts.review.f3 review posts-f3"},
			notes: 1,
		},
		{
			name:  "a literal entry's, where it runs",
			scene: listed(0, entries(func(r *v1alpha1.Repository) { r.Spec.Environments[0].Namespace = "other" })),
			want:  []string{"posts.production.main production posts"},
			notes: 1,
		},
		{
			name: "nothing for a branch whose name another has",
			scene: listed(1, func(s *scene) {
				s.have[1].Spec.Branch = "F0" // as if the two had the same slug
				s.Listing.Heads["F0"] = apitest.Commit("a")
			}),
			want:  []string{"posts.production.main production posts", "posts.review.f0-6ls62s review posts-f0-6ls62s"},
			notes: 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Compare(test.scene.have, Want(test.scene.repo, test.scene.Listing.Heads), test.scene.Evidence)
			var got []string
			for _, w := range c.Write {
				got = append(got, w.Name+" "+w.Spec.Entry+" "+w.Spec.Namespace)
			}
			if slices.Sort(got); !slices.Equal(got, sorted(test.want)) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if notes := slices.Concat(c.Doubts, c.Notes); len(notes) != test.notes {
				t.Errorf("the notes are %q, want %d", notes, test.notes)
			}
		})
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func TestAConfirmationReleasesWhatWasDeletedByHand(t *testing.T) {
	s := listed(5, func(s *scene) {
		for i := range 4 {
			apitest.Deleted(&s.have[1+i])
		}
	})
	if c := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence); len(c.Release) > 0 {
		t.Errorf("%d are released without a confirmation", len(c.Release))
	}
	confirming("f0", "f1", "f2")(&s)
	c := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence)
	if len(c.Release) != 3 || !slices.Equal(c.Held, []string{"posts.review.f3"}) {
		t.Errorf("%d are released, want 3, and %q are held", len(c.Release), c.Held)
	}
}

func TestWhatIsHeldBackIsToldInOneWay(t *testing.T) {
	s := listed(4, without(2, time.Hour, "f0", "f1", "f2", "f3"))
	first := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence).Doubts
	slices.Reverse(s.have) // as a cache lists in any order
	if again := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence).Doubts; !slices.Equal(first, again) {
		t.Errorf("%q, and then %q", first, again)
	}
}

// A confirmation counts for an Environment whose time is over, though its branch is there.
func TestAConfirmationReleasesWhatExpires(t *testing.T) {
	s := listed(5, idle(4), confirming("f0", "f1", "f2"))
	c := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence)
	var released []string
	for _, env := range c.Release {
		released = append(released, env.Name)
	}
	if want := []string{"posts.review.f0", "posts.review.f1", "posts.review.f2"}; !slices.Equal(released, want) || !slices.Equal(c.Confirmed, want) {
		t.Errorf("%q are released, and %q confirmed, want %q", released, c.Confirmed, want)
	}
	if !slices.Equal(c.Held, []string{"posts.review.f3"}) {
		t.Errorf("%q are held", c.Held)
	}
}

// A branch that is missing shows from the first listing on when its environment goes, and whether that is held.
func TestDepartures(t *testing.T) {
	for _, test := range []struct {
		name  string
		scene scene
		want  Departure // of f0
	}{
		{"after one listing", listed(5, without(1, time.Minute, "f0")), Departure{Since: apitest.Noon.Add(-time.Minute), At: apitest.Noon.Add(4 * time.Minute)}},
		{"while it is held", listed(4, without(2, 5*time.Minute, "f0", "f1", "f2", "f3")), Departure{Since: apitest.Noon.Add(-5 * time.Minute), At: apitest.Noon, held: true}},
		{"before any listing was counted", listed(5, func(s *scene) { delete(s.Listing.Heads, "f0") }), Departure{}},
		{"when its entry is gone, which does not depend on the branch", listed(4, entries(func(r *v1alpha1.Repository) { r.Spec.Environments = r.Spec.Environments[:1] })), Departure{}},
		{"while it is there", listed(5, without(1, time.Minute, "f1")), Departure{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Compare(test.scene.have, Want(test.scene.repo, test.scene.Listing.Heads), test.scene.Evidence)
			if got, ok := c.Departing["posts.review.f0"]; got != test.want || ok != (test.want != Departure{}) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// A confirmation covers a deletion that is possible now, and nothing else.
func TestWhichConfirmationsAreKept(t *testing.T) {
	for _, test := range []struct {
		name      string
		scene     scene
		confirmed []string
		released  int
	}{
		{name: "for a branch that is gone, which the listing deletes", scene: listed(3, without(2, time.Hour, "f0"), confirming("f0")), confirmed: []string{"posts.review.f0"}},
		{name: "not for an environment that stays", scene: listed(3, confirming("f0"))},
		{name: "not for an environment that stays while another expires", scene: listed(3, idle(1), confirming("f1"))},
		{name: "for one that is re-created in another namespace", confirmed: []string{"posts.review.f0"},
			scene: listed(3, confirming("f0"), entries(func(r *v1alpha1.Repository) { review(r).Namespace = "other-${BRANCH_SLUG}" }))},
		{name: "for one that expires", scene: listed(3, idle(1), confirming("f0")), confirmed: []string{"posts.review.f0"}, released: 1},
		{name: "for one that a user deleted", scene: listed(3, func(s *scene) { apitest.Deleted(&s.have[1]) }, confirming("f0")), confirmed: []string{"posts.review.f0"}, released: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Compare(test.scene.have, Want(test.scene.repo, test.scene.Listing.Heads), test.scene.Evidence)
			if !slices.Equal(c.Confirmed, test.confirmed) || len(c.Release) != test.released {
				t.Errorf("%q are confirmed and %d released, want %q and %d", c.Confirmed, len(c.Release), test.confirmed, test.released)
			}
		})
	}
}

// The status lists names in their order, whatever the reason of each deletion is.
func TestBlockedEnvironmentsAreSortedByName(t *testing.T) {
	s := listed(9, without(2, time.Hour, "f2", "f3", "f4"), func(s *scene) { apitest.Deleted(&s.have[1]) })
	c := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence)
	if want := []string{"posts.review.f0", "posts.review.f2", "posts.review.f3", "posts.review.f4"}; !slices.Equal(c.Held, want) {
		t.Errorf("%q are blocked, want %q", c.Held, want)
	}
}

func TestAnEntryThatLeadsToTheSameNamespaceHasNotMoved(t *testing.T) {
	repo := apitest.Repository()
	env := apitest.Environment(repo, "review", "f0")
	if why := Moved(&env, review(repo)); why != "" {
		t.Errorf("it says %q", why)
	}
	review(repo).Namespace = "other"
	if why := Moved(&env, review(repo)); !strings.Contains(why, "the namespace is now other, but its objects stay in posts-f0") {
		t.Errorf("it says %q", why)
	}
}

func TestATeardownThatWaitsNamesTheCommand(t *testing.T) {
	s := listed(4, takenDown(4, 0))
	want := "deletions are blocked: 4 of 5 environments would be deleted at once; to delete them: berth confirm --repository posts"
	if got := Count(s.have, nil, apitest.Noon).Blocked("posts"); got != want {
		t.Errorf("got %q", got)
	}
}

func TestToDeleteAllNeedsAConfirmationFromFourOn(t *testing.T) {
	for n, want := range map[int]bool{3: false, 4: true} {
		if got := Count(listed(n-1).have, nil, apitest.Noon).BlocksAll(); got != want {
			t.Errorf("of %d environments, deleting all is blocked: %t, want %t", n, got, want)
		}
	}
}

// A teardown that has begun is always finished: it waits for no confirmation.
func TestWhatHasBegunToGoIsNotHeld(t *testing.T) {
	s := listed(5, idle(4))
	apitest.Reason(v1alpha1.ReasonExpiring)(&s.have[1])
	if c := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence); !slices.Equal(c.Held, []string{"posts.review.f1", "posts.review.f2", "posts.review.f3"}) {
		t.Errorf("of four that expire, one of which has begun to, %q are held", c.Held)
	}
	s = listed(5, func(s *scene) {
		for i := range 4 {
			apitest.Deleted(&s.have[1+i])
		}
		apitest.Reason(v1alpha1.ReasonDeleting)(&s.have[1])
	})
	if c := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence); !slices.Equal(c.Held, []string{"posts.review.f1", "posts.review.f2", "posts.review.f3"}) {
		t.Errorf("of four that were deleted by hand, one of which has begun to go, %q are held", c.Held)
	}
}
