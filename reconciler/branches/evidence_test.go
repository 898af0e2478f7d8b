package branches

import (
	"slices"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source"
)

func TestAbsenceIsCountedInTrustedListingsAlone(t *testing.T) {
	repo := apitest.Repository()
	have := []v1alpha1.Environment{apitest.Environment(repo, "production", "main"), apitest.Environment(repo, "review", "f0")}
	all := map[string]string{"main": apitest.Commit("a"), "f0": apitest.Commit("a")}
	lacking := map[string]string{"main": apitest.Commit("a")}
	absent := map[string]Absence{}
	for i, step := range []struct {
		listing  source.Listing
		listings int // in which f0 is known to be absent
		since    time.Duration
	}{
		{source.Listing{Default: "main", Heads: all}, 0, 0},
		{source.Listing{Default: "main", Heads: lacking}, 1, time.Minute},
		{source.Listing{Default: "trunk", Heads: lacking}, 1, time.Minute},
		{source.Listing{Heads: map[string]string{"x": apitest.Commit("a")}}, 1, time.Minute},
		{source.Listing{Default: "main", Heads: lacking}, 2, time.Minute},
		{source.Listing{Default: "main", Heads: all}, 0, 0},
		{source.Listing{Default: "main", Heads: lacking}, 1, 6 * time.Minute},
	} {
		Notice(absent, have, step.listing, apitest.Noon.Add(time.Duration(i)*time.Minute))
		a := absent["f0"]
		if a.Listings != step.listings || step.listings > 0 && a.Since.Sub(apitest.Noon) != step.since {
			t.Errorf("after step %d: absent in %d listings since %s, want %d since %s", i, a.Listings, a.Since.Sub(apitest.Noon), step.listings, step.since)
		}
	}
	if Notice(absent, have[:1], source.Listing{Default: "main", Heads: lacking}, apitest.Noon); len(absent) > 0 {
		t.Errorf("%v is remembered of branches without an environment", absent)
	}
}

func TestDoubtful(t *testing.T) {
	repo := apitest.Repository()
	have := []v1alpha1.Environment{apitest.Environment(repo, "production", "main"), apitest.Environment(repo, "review", "f0")}
	known := []string{apitest.Commit("a"), apitest.Commit("b")}
	for _, test := range []struct {
		name  string
		known []string
		heads map[string]string
		want  bool
	}{
		{"nothing changed", known, map[string]string{"main": apitest.Commit("a"), "f0": apitest.Commit("b")}, false},
		{"all have moved, and none is missing", known, map[string]string{"main": apitest.Commit("c"), "f0": apitest.Commit("d")}, false},
		{"one is missing, another stayed", known, map[string]string{"main": apitest.Commit("a")}, false},
		{"one is missing, and its commit has another name", known, map[string]string{"main": apitest.Commit("c"), "renamed": apitest.Commit("b")}, false},
		{"one is missing, and all others have moved", known, map[string]string{"main": apitest.Commit("c")}, true},
		{"all are others", known, map[string]string{"trunk": apitest.Commit("c"), "x": apitest.Commit("d")}, true},
		{"nothing was known", nil, map[string]string{"trunk": apitest.Commit("c")}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Doubtful(have, test.known, source.Listing{Heads: test.heads}); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestKnownCommits(t *testing.T) {
	repo := apitest.Repository()
	have := []v1alpha1.Environment{
		apitest.Environment(repo, "review", "f0", func(env *v1alpha1.Environment) { env.Spec.Commit = apitest.Commit("d") }),
		apitest.Environment(repo, "review", "f1", func(env *v1alpha1.Environment) { env.Spec.Commit = apitest.Commit("c") }),
		apitest.Environment(repo, "review", "f2", func(env *v1alpha1.Environment) { env.Spec.Commit = apitest.Commit("d") }),
		apitest.Environment(repo, "review", "f3", func(env *v1alpha1.Environment) { env.Spec.Commit = "" }),
	}
	last := source.Listing{Default: "main", Heads: map[string]string{"main": apitest.Commit("b"), "f0": apitest.Commit("a"), "f1": apitest.Commit("a")}}
	if got := KnownCommits(last, have); len(got) != 2 || got[0] != apitest.Commit("b") || got[1] != apitest.Commit("a") {
		t.Errorf("after a listing %q are known, want the default branch's and then the others", got)
	}
	if got := KnownCommits(source.Listing{}, have); !slices.Equal(got, []string{apitest.Commit("c"), apitest.Commit("d")}) {
		t.Errorf("after a restart %q are known, want those of the Environments, each once", got)
	}
}

// Others are the branches that no entry matches: their commits prove, too, that the repository is the same one.
func TestCommitsOfOtherBranchesAreKnown(t *testing.T) {
	have := []v1alpha1.Environment{apitest.Environment(apitest.Repository(), "review", "f0")}
	last := source.Listing{Default: "main", Heads: map[string]string{"main": apitest.Commit("a")}, Others: []string{apitest.Commit("c"), apitest.Commit("a"), apitest.Commit("b")}}
	known := KnownCommits(last, have)
	if want := []string{apitest.Commit("a"), apitest.Commit("b"), apitest.Commit("c")}; !slices.Equal(known, want) {
		t.Errorf("%q are known, want %q", known, want)
	}
	now := source.Listing{Default: "main", Heads: map[string]string{"main": apitest.Commit("d")}, Others: []string{apitest.Commit("b")}}
	if Doubtful(have, known, now) {
		t.Error("a repository whose other branch stayed is doubtful")
	}
}
