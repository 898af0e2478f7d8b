package branches

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

func TestInterest(t *testing.T) {
	most := func(n int32) func(*v1alpha1.Repository) {
		return func(r *v1alpha1.Repository) { r.Spec.Limits.Environments = n }
	}
	patterns := func(list ...v1alpha1.BranchPattern) func(*v1alpha1.Repository) {
		return func(r *v1alpha1.Repository) { review(r).Branches = list }
	}
	twice := func(r *v1alpha1.Repository) {
		also := *review(r)
		also.Name, also.Namespace = "again", "again-${BRANCH_SLUG}"
		r.Spec.Environments = append(r.Spec.Environments, also)
	}
	many := func(n int) (branches []string) {
		for i := range n {
			branches = append(branches, fmt.Sprintf("f%d", i))
		}
		return branches
	}
	for _, test := range []struct {
		name   string
		change []func(*v1alpha1.Repository)
		have   []string // branches that have a review; main has production if it is among them
		listed []string
		kept   int
		reason string
		left   string // the message about the others
	}{
		{name: "those that an entry matches", listed: []string{"main", "f0"}, kept: 2},
		{name: "not those that no entry matches, and without a word", change: []func(*v1alpha1.Repository){patterns("f*")},
			listed: []string{"f0", "x", "gnp\u202efdp"}, kept: 1},
		{name: "those that have an environment, whatever the entries say", change: []func(*v1alpha1.Repository){patterns("f*")}, have: []string{"f0"},
			listed: []string{"f0"}, kept: 1},
		{name: "as many as the limit allows", change: []func(*v1alpha1.Repository){most(2)}, listed: many(3), kept: 2, reason: v1alpha1.ReasonTooMany,
			left: "1 branch left out: limits.environments is 2; delete branches, narrow the patterns of the entries, or raise it"},
		{name: "a limit of one", change: []func(*v1alpha1.Repository){most(1)}, listed: many(3), kept: 1, reason: v1alpha1.ReasonTooMany,
			left: "2 branches left out: limits.environments is 1; delete branches, narrow the patterns of the entries, or raise it"},
		{name: "without a limit, as many as the default allows", listed: many(2001), kept: 2000, reason: v1alpha1.ReasonTooMany,
			left: "1 branch left out: limits.environments is 2000; delete branches, narrow the patterns of the entries, or raise it"},
		{name: "the limit counts environments that exist", change: []func(*v1alpha1.Repository){most(2)}, have: []string{"old"}, listed: many(2), kept: 1, reason: v1alpha1.ReasonTooMany,
			left: "1 branch left out: limits.environments is 2; delete branches, narrow the patterns of the entries, or raise it"},
		{name: "the limit does not count production", change: []func(*v1alpha1.Repository){most(2)}, have: []string{"main"}, listed: []string{"main", "f0", "f1"}, kept: 3},
		{name: "a branch counts for each entry that matches it", change: []func(*v1alpha1.Repository){most(3), twice}, listed: many(2), kept: 1, reason: v1alpha1.ReasonTooMany,
			left: "1 branch left out: limits.environments is 3; delete branches, narrow the patterns of the entries, or raise it"},
		{name: "production, beyond any limit", change: []func(*v1alpha1.Repository){most(1)}, listed: []string{"f0", "main"}, kept: 2},
		{name: "the name of an entry with a pattern, which reserves no namespace", change: []func(*v1alpha1.Repository){patterns("f0", "x-*")}, listed: []string{"f0"}, kept: 1},
		{name: "nothing of an entry that is invalid", change: []func(*v1alpha1.Repository){patterns("a b")}, listed: []string{"main", "f0"}, kept: 1},
		{name: "not those with unusable names", listed: []string{"gnp\u202efdp"}, reason: v1alpha1.ReasonUnusable,
			left: `1 branch left out because of the name: "gnp\u202efdp" has the invisible character U+202E; rename or delete it`},
		{name: "three names, and no more", listed: []string{"a\u202e", "b\u202e", "c\u202e"}, reason: v1alpha1.ReasonUnusable,
			left: `3 branches left out because of the name: "a\u202e" has the invisible character U+202E, "b\u202e" has the invisible character U+202E, "c\u202e" has the invisible character U+202E; rename or delete it`},
		{name: "more names as their number", listed: []string{"a\u202e", "b\u202e", "c\u202e", "d\u202e"}, reason: v1alpha1.ReasonUnusable,
			left: `4 branches left out because of the name: "a\u202e" has the invisible character U+202E, "b\u202e" has the invisible character U+202E, "c\u202e" has the invisible character U+202E, and 1 more; rename or delete it`},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := apitest.Repository()
			var have []v1alpha1.Environment
			for _, branch := range test.have {
				entry := "review"
				if branch == "main" {
					entry = "production"
				}
				have = append(have, apitest.Environment(repo, entry, branch))
			}
			for _, change := range test.change {
				change(repo)
			}
			i, kept := NewInterest(repo, have), 0
			for _, branch := range test.listed {
				if i.Keep(branch) {
					kept++
				}
			}
			if kept != test.kept {
				t.Errorf("%d are kept, want %d", kept, test.kept)
			}
			switch left := i.Condition(repo); {
			case left == nil && test.left != "", left != nil && (left.Message != test.left || left.Reason != test.reason):
				t.Errorf("it says %v, want %s: %s", left, test.reason, test.left)
			}
		})
	}
}

// A server that lists nothing but the branches that entries name still gets production going.
func TestLiterals(t *testing.T) {
	repo := apitest.Repository(func(r *v1alpha1.Repository) {
		r.Spec.Environments = append(r.Spec.Environments,
			v1alpha1.Entry{Name: "staging", Branches: []v1alpha1.BranchPattern{"develop", "next"}, Namespace: "staging-${BRANCH_SLUG}"},
			v1alpha1.Entry{Name: "invalid", Branches: []v1alpha1.BranchPattern{"a b"}, Namespace: "invalid"})
	})
	if got := Literals(repo); !slices.Equal(got, []string{"main", "develop", "next"}) {
		t.Errorf("got %q", strings.Join(got, " "))
	}
}
