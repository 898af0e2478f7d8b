package branches

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/naming"
)

// compareAs decides as the agent of a name.
func (s scene) compareAs(agent string) Changes {
	s.Elsewhere = ElsewhereOf(s.repo, agent)
	return Compare(s.have, Want(naming.ForAgent(s.repo, agent), s.Listing.Heads), s.Evidence)
}

// belongs gives entries to an agent after their Environments were made.
func belongs(agent string, names ...string) func(*scene) {
	return entries(func(r *v1alpha1.Repository) {
		for i := range r.Spec.Environments {
			if entry := &r.Spec.Environments[i]; slices.Contains(names, entry.Name) {
				entry.Agent = agent
			}
		}
	})
}

// madeBy marks all Environments as made by an agent.
func madeBy(agent string) func(*scene) {
	return func(s *scene) {
		for i := range s.have {
			s.have[i].Spec.Agent = agent
		}
	}
}

func TestEnvironmentsOfOtherAgentsEntries(t *testing.T) {
	both := []string{"production", "review"}
	confirmed := func(s *scene) {
		s.have[0].Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "1"}
	}
	for _, test := range []struct {
		name   string
		agent  string
		scene  scene
		gone   []string // branches
		held   []string // branches
		writes int
		says   string
	}{
		{name: "an agent without a name runs the entries without an agent", scene: listed(1), writes: 2},
		{name: "an agent runs its own entries", agent: "east", scene: listed(1, belongs("east", both...), madeBy("east")), writes: 2},
		{name: "entries that get a name with their agent stay", agent: "east", scene: listed(1, belongs("east", both...)), writes: 2},
		{
			name:  "a preview goes like that of a removed entry",
			scene: listed(1, belongs("west", "review")), gone: []string{"f0"}, writes: 1,
		},
		{
			name:  "previews go under the deletion guard",
			scene: listed(9, belongs("west", "review")), held: numberedReviews(9), writes: 1,
			says: "9 of 10 environments would be deleted at once",
		},
		{
			name:  "the environment of an entry that names its branch waits for a user",
			scene: listed(1, belongs("west", "production")), held: []string{"main"}, writes: 1,
			says: "posts.production.main: its entry production belongs to the agent west, and this is the agent without a name, so what runs here stays as it is; to keep it, remove agent from the entry production; to delete the Environment here, without its objects: berth confirm posts.production.main",
		},
		{
			name:  "and goes once a user confirmed it",
			scene: listed(1, belongs("west", "production"), confirmed), gone: []string{"main"}, writes: 1,
		},
		{
			name: "or all of the Repository's",
			scene: listed(1, belongs("west", "production"), func(s *scene) {
				s.Confirmed = map[string]bool{"posts.production.main": true}
			}), gone: []string{"main"}, writes: 1,
		},
		{
			name:  "the same entry back at its agent",
			agent: "east", scene: listed(1, belongs("east", both...), madeBy("east"), confirmed), writes: 2,
		},
		{
			name:  "an agent with a new name deletes nothing, not even a preview",
			agent: "north", scene: listed(2, belongs("east", both...), madeBy("east")), held: []string{"f0", "f1", "main"},
			says: "set agent: north in the entry production, or start the agent with --agent-name=east; to delete the Environment here, without its objects: berth confirm posts.production.main (and 2 more; all of them: berth confirm --repository posts)",
		},
		{
			name:  "an agent that gets its first name deletes nothing",
			agent: "north", scene: listed(1), held: []string{"f0", "main"},
			says: "or start the agent without --agent-name",
		},
		{
			name:  "an agent that loses its name deletes nothing",
			scene: listed(1, belongs("east", both...), madeBy("east")), held: []string{"f0", "main"},
			says: "or start the agent with --agent-name=east",
		},
		{
			name:  "an entry of a third agent, while this one has another name, too",
			agent: "north", scene: listed(1, belongs("west", both...), madeBy("east")), held: []string{"f0", "main"},
			says: "set agent: north in the entry production; to delete",
		},
		{
			name:  "patterns that cannot be read",
			agent: "", scene: listed(1, belongs("west", "review"), entries(func(r *v1alpha1.Repository) { review(r).Branches[0] = "a b" })), held: []string{"f0"}, writes: 1,
		},
		{
			name:  "an entry of this agent that takes over branch and namespace",
			agent: "", writes: 2,
			scene: listed(1, belongs("west", "production"), entries(func(r *v1alpha1.Repository) {
				r.Spec.Environments = append(r.Spec.Environments, v1alpha1.Entry{Name: "here", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"})
			})),
		},
		{
			name:  "nothing of its own is needed to keep what another agent's entry left",
			agent: "north", scene: listed(0, belongs("west", both...)), held: []string{"main"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := test.scene.compareAs(test.agent)
			var gone, held []string
			for _, d := range c.Delete {
				gone = append(gone, d.Environment.Spec.Branch)
			}
			for _, name := range c.Held {
				for _, env := range test.scene.have {
					if env.Name == name {
						held = append(held, env.Spec.Branch)
					}
				}
			}
			slices.Sort(held)
			if !slices.Equal(gone, test.gone) || !slices.Equal(held, test.held) || len(c.Write) != test.writes {
				t.Errorf("gone are %q, held are %q, %d are written, want %q, %q, %d", gone, held, len(c.Write), test.gone, test.held, test.writes)
			}
			for _, w := range c.Write {
				if w.Spec.Agent != test.agent {
					t.Errorf("%s is written for the agent %q", w.Name, w.Spec.Agent)
				}
			}
			if doubts := strings.Join(c.Doubts, "; "); !strings.Contains(doubts, test.says) || (len(test.held) == 0) != (doubts == "") {
				t.Errorf("it says %q, want %q", doubts, test.says)
			}
		})
	}
}

func numberedReviews(n int) (names []string) {
	for _, env := range listed(n).have[1:] {
		names = append(names, env.Spec.Branch)
	}
	return names
}

func TestConfirmationsOfSingleEnvironmentsPassTheGuard(t *testing.T) {
	s := listed(9, belongs("east", "production", "review"), madeBy("east"), func(s *scene) {
		for i := range s.have {
			s.have[i].Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "1"}
		}
	})
	if c := s.compareAs("north"); len(c.Delete) != 10 || len(c.Held) > 0 {
		t.Errorf("%d are deleted, and %q wait", len(c.Delete), c.Held)
	}
}

func TestWhatAnEnvironmentOfAnotherAgentSays(t *testing.T) {
	repo := apitest.Repository()
	own := apitest.Environment(repo, "review", "f0")
	e := ElsewhereOf(repo, "")
	if e.Has(&own) || e.Message(&own) != "" || e.Summary() != "" {
		t.Errorf("its own entry is elsewhere: %q, %q", e.Message(&own), e.Summary())
	}
	review(repo).Agent = "west"
	e = ElsewhereOf(repo, "")
	if got, want := e.Message(&own), "its entry review belongs to the agent west now, so the environment will be deleted here; to keep it, remove agent from the entry review"; !e.Has(&own) || got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := e.Summary(), "1 entry belongs to another agent: review (the agent west)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for range 6 {
		repo.Spec.Environments = append(repo.Spec.Environments, v1alpha1.Entry{Name: "more", Agent: "west"})
	}
	if got, want := ElsewhereOf(repo, "east").Summary(), "8 entries belong to other agents: production (the agent without a name), review (the agent west), more (the agent west), more (the agent west), more (the agent west), and 3 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	own.Spec.OnRemoval, own.Spec.Agent = v1alpha1.RemovalDelete, "north"
	if got, want := e.Message(&own), "to delete it here, with its objects: berth confirm posts.review.f0"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q at its end", got, want)
	}
}

// What was confirmed for another reason, such as the pruning of objects, allows no deletion of environments.
func TestConfirmationsOfSingleEnvironmentsDoNotPassTheGuardOtherwise(t *testing.T) {
	s := listed(9, entries(func(r *v1alpha1.Repository) { r.Spec.Environments = r.Spec.Environments[:1] }), func(s *scene) {
		for i := range s.have {
			s.have[i].Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "1"}
		}
	})
	if c := s.compareAs(""); len(c.Delete) > 0 || len(c.Held) != 9 {
		t.Errorf("%d are deleted, and %q wait", len(c.Delete), c.Held)
	}
}

// The status is compared with the last one.
func TestWhatWaitsIsSorted(t *testing.T) {
	if c := listed(9, belongs("west", "production", "review")).compareAs(""); len(c.Held) != 10 || !slices.IsSorted(c.Held) {
		t.Errorf("%q wait", c.Held)
	}
}
