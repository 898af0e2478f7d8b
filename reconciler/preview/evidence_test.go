package preview

import (
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

func TestAbsenceIsCountedInTrustedListingsAlone(t *testing.T) {
	repo := repository()
	have := []v1alpha1.Environment{environment(repo, "production", "main"), environment(repo, "review", "f0")}
	all := map[string]string{"main": commit("a"), "f0": commit("a")}
	lacking := map[string]string{"main": commit("a")}
	absent := map[string]absence{}
	for i, step := range []struct {
		listing  source.Listing
		listings int // in which f0 is known to be absent
		since    time.Duration
	}{
		{source.Listing{Default: "main", Heads: all}, 0, 0},
		{source.Listing{Default: "main", Heads: lacking}, 1, time.Minute},
		{source.Listing{Default: "trunk", Heads: lacking}, 1, time.Minute},
		{source.Listing{Heads: map[string]string{"x": commit("a")}}, 1, time.Minute},
		{source.Listing{Default: "main", Heads: lacking}, 2, time.Minute},
		{source.Listing{Default: "main", Heads: all}, 0, 0},
		{source.Listing{Default: "main", Heads: lacking}, 1, 6 * time.Minute},
	} {
		notice(absent, have, step.listing, noon.Add(time.Duration(i)*time.Minute))
		a := absent["f0"]
		if a.listings != step.listings || step.listings > 0 && a.since.Sub(noon) != step.since {
			t.Errorf("after step %d: absent in %d listings since %s, want %d since %s", i, a.listings, a.since.Sub(noon), step.listings, step.since)
		}
	}
	if notice(absent, have[:1], source.Listing{Default: "main", Heads: lacking}, noon); len(absent) > 0 {
		t.Errorf("%v is remembered of branches that nobody has", absent)
	}
}

func TestDoubtful(t *testing.T) {
	repo := repository()
	have := []v1alpha1.Environment{environment(repo, "production", "main"), environment(repo, "review", "f0")}
	known := []string{commit("a"), commit("b")}
	for _, test := range []struct {
		name  string
		known []string
		heads map[string]string
		want  bool
	}{
		{"nothing changed", known, map[string]string{"main": commit("a"), "f0": commit("b")}, false},
		{"all have moved, and none is missing", known, map[string]string{"main": commit("c"), "f0": commit("d")}, false},
		{"one is missing, another stayed", known, map[string]string{"main": commit("a")}, false},
		{"one is missing, and its commit has another name", known, map[string]string{"main": commit("c"), "renamed": commit("b")}, false},
		{"one is missing, and all others have moved", known, map[string]string{"main": commit("c")}, true},
		{"all are others", known, map[string]string{"trunk": commit("c"), "x": commit("d")}, true},
		{"nothing was known", nil, map[string]string{"trunk": commit("c")}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := doubtful(have, test.known, source.Listing{Heads: test.heads}); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestKnownCommits(t *testing.T) {
	have := []v1alpha1.Environment{environment(repository(), "review", "f0", func(env *v1alpha1.Environment) { env.Spec.Commit = commit("c") })}
	last := source.Listing{Default: "main", Heads: map[string]string{"main": commit("b"), "f0": commit("a"), "f1": commit("a")}}
	if got := knownCommits(last, have); len(got) != 2 || got[0] != commit("b") || got[1] != commit("a") {
		t.Errorf("after a listing %q are known, want the default branch's and then the others", got)
	}
	if got := knownCommits(source.Listing{}, have); len(got) != 1 || got[0] != commit("c") {
		t.Errorf("after a restart %q are known, want those of the Environments", got)
	}
}
