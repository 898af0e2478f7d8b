package branches

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source"
)

func TestWant(t *testing.T) {
	for _, test := range []struct {
		name     string
		entries  []v1alpha1.Entry
		branches []string
		want     []string // environments, and their namespaces
		notes    []string
	}{
		{
			name:     "every entry matches by itself",
			branches: []string{"main", "feature/login"},
			want:     []string{"posts.production.main posts Orphan", "posts.review.feature-login-hxtcaw posts-feature-login-hxtcaw Delete"},
		},
		{
			name:     "a branch that an entry names and that is not there",
			branches: []string{"develop"},
			want:     []string{"posts.review.develop posts-develop Delete"},
			notes:    []string{"entry production: the repository has no branch main"},
		},
		{
			name:     "an entry that cannot be followed takes nothing from the others",
			entries:  []v1alpha1.Entry{{Name: "bad", Branches: []v1alpha1.BranchPattern{"a b"}}, {Name: "good", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"}},
			branches: []string{"main"},
			want:     []string{"posts.good.main posts Orphan"},
			notes:    []string{`entry bad: branch pattern "a b"`},
		},
		{
			name:     "Berth's own namespace",
			entries:  []v1alpha1.Entry{{Name: "greedy", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "berth"}},
			branches: []string{"main"},
			notes:    []string{"entry greedy: namespace berth is Berth's own"},
		},
		{
			name: "another cluster",
			entries: []v1alpha1.Entry{{
				Name: "far", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts",
				Cluster: &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: "staging"}},
			}},
			branches: []string{"main"},
			want:     []string{"posts.far.main posts Orphan"},
		},
		{
			name:     "of two faults of an entry, the patterns'",
			entries:  []v1alpha1.Entry{{Name: "greedy", Branches: []v1alpha1.BranchPattern{"a b"}, Namespace: "berth"}},
			branches: []string{"main"},
			notes:    []string{`entry greedy: branch pattern "a b"`},
		},
		{
			name:     "what an entry says of removal",
			entries:  []v1alpha1.Entry{{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts", OnRemoval: v1alpha1.RemovalDelete}},
			branches: []string{"main"},
			want:     []string{"posts.production.main posts Delete"},
		},
		{
			name:    "no branch at all",
			entries: []v1alpha1.Entry{{Name: "review", Branches: []v1alpha1.BranchPattern{"**"}, Namespace: "posts-${BRANCH_SLUG}"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := apitest.Repository(func(r *v1alpha1.Repository) {
				if test.entries != nil {
					r.Spec.Environments = test.entries
				}
			})
			heads := map[string]string{}
			for _, branch := range test.branches {
				heads[branch] = apitest.Commit("a")
			}
			d := Want(repo, heads)
			var got []string
			for _, w := range d.List {
				got = append(got, w.Name+" "+w.Spec.Namespace+" "+string(w.Spec.OnRemoval))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			sameNotes(t, d.notes, test.notes)
			if commits := d.Commits(); len(commits) != len(d.List) || slices.ContainsFunc(commits, func(c string) bool { return c != apitest.Commit("a") }) {
				t.Errorf("the commits are %q", commits)
			}
		})
	}
}

// sameNotes checks that each note begins as it should.
func sameNotes(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("the notes are %q, want %q", got, want)
	}
	for i := range got {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("the note is %q, want %q", got[i], want[i])
		}
	}
}

func TestTheDefaultBranchIsNoPreviewOfProduction(t *testing.T) {
	develop := v1alpha1.Entry{Name: "staging", Branches: []v1alpha1.BranchPattern{"develop"}, Namespace: "staging"}
	for _, test := range []struct {
		name     string
		change   func(*v1alpha1.Repository)
		branches []string
		head     string
		have     []string // branches that have a review
		want     string
		note     string // of the default branch, if there is one
	}{
		{"renamed", nil, []string{"f0", "trunk"}, "trunk", nil, "review f0",
			"entry review: the default branch trunk gets no environment while the branch of entry production does not exist"},
		{"renamed, and had a review before", nil, []string{"f0", "trunk"}, "trunk", []string{"trunk"}, "review f0, review trunk",
			"entry review: the default branch trunk keeps its environment posts.review.trunk while the branch of entry production does not exist"},
		{"another branch is the default one", nil, []string{"develop", "main"}, "develop", nil, "production main, review develop", ""},
		{"another entry names it", func(r *v1alpha1.Repository) { r.Spec.Environments = append(r.Spec.Environments, develop) },
			[]string{"develop", "f0"}, "develop", nil, "review develop, review f0, staging develop", ""},
		{"an entry names a different branch", func(r *v1alpha1.Repository) { r.Spec.Environments = append(r.Spec.Environments, develop) },
			[]string{"develop", "f0", "trunk"}, "trunk", nil, "review develop, review f0, staging develop", "entry review: the default branch trunk gets no environment while the branch of entry production does not exist"},
		{"there are patterns alone", func(r *v1alpha1.Repository) { r.Spec.Environments = r.Spec.Environments[1:] },
			[]string{"develop", "f0"}, "develop", nil, "review develop, review f0", ""},
		{"there is no default branch", nil, []string{"f0", "trunk"}, "", nil, "review f0, review trunk", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := apitest.Repository()
			if test.change != nil {
				test.change(repo)
			}
			s := scene{repo: repo, Evidence: listed(0).Evidence}
			s.Listing = source.Listing{Default: test.head, Heads: map[string]string{}}
			for _, branch := range test.branches {
				s.Listing.Heads[branch] = apitest.Commit("a")
			}
			for _, branch := range test.have {
				s.have = append(s.have, apitest.Environment(repo, "review", branch))
			}
			c := Compare(s.have, Want(repo, s.Listing.Heads), s.Evidence)
			var got []string
			for _, w := range c.Write {
				got = append(got, w.entry.Name+" "+w.Spec.Branch)
			}
			slices.Sort(got)
			if all := strings.Join(got, ", "); all != test.want {
				t.Errorf("got %s, want %s", all, test.want)
			}
			said := slices.DeleteFunc(slices.Clone(c.Notes), func(note string) bool { return !strings.Contains(note, "the default branch") })
			if len(said) > 1 || !strings.HasPrefix(strings.Join(said, ""), test.note) || (test.note == "") != (len(said) == 0) {
				t.Errorf("the notes are %q, want one with %q", said, test.note)
			}
		})
	}
}

func TestADefaultBranchThatNobodyCanReadGetsNothing(t *testing.T) {
	s := listed(0, func(s *scene) {
		s.Listing = source.Listing{Default: "gnp\u202efdp", Heads: map[string]string{"gnp\u202efdp": apitest.Commit("a"), "main": apitest.Commit("a"), "bad\xff": apitest.Commit("a")}}
	})
	c := Compare(s.have, Want(s.repo, s.Listing.Heads), s.Evidence)
	if len(c.Write) != 1 || c.Write[0].Spec.Branch != "main" {
		t.Errorf("written are %+v", c.Write)
	}
}
