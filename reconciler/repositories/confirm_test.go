package repositories

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/source"
)

// reported is a Report that stores the status, as the API server would.
func reported(ctx context.Context, repo *v1alpha1.Repository, status v1alpha1.RepositoryStatus) error {
	repo.Status = status
	return ctx.Err()
}

func TestAConfirmationIsForWhatWasHeld(t *testing.T) {
	f1 := apitest.Environment(apitest.Repository(), "review", "f1")
	down := &followed{trouble: errors.New("the server is down")}
	for _, test := range []struct {
		name      string
		f         *followed
		status    v1alpha1.RepositoryStatus
		Overdue   []*v1alpha1.Environment
		confirmed []string
		handled   string
	}{
		{name: "for nothing, it is used up", f: &followed{}, handled: "yes"},
		{name: "for nothing while the server is down, it waits for its listing", f: down},
		{
			name: "for what the status lists as held", f: &followed{}, handled: "yes",
			status: v1alpha1.RepositoryStatus{Held: []string{"a", "b"}}, confirmed: []string{"a", "b"},
		},
		{
			name: "the same while the server is down", f: &followed{trouble: down.trouble}, handled: "yes",
			status: v1alpha1.RepositoryStatus{Held: []string{"a"}}, confirmed: []string{"a"},
		},
		{
			name: "for what is to expire", f: &followed{}, handled: "yes",
			Overdue: []*v1alpha1.Environment{&f1}, confirmed: []string{f1.Name},
		},
		{
			name: "besides what another one allowed and still exists", f: &followed{}, handled: "yes",
			status: v1alpha1.RepositoryStatus{Held: []string{"b"}, Confirmed: []string{"a"}}, confirmed: []string{"a", "b"},
		},
		{
			name: "not twice", f: &followed{}, handled: "yes",
			status: v1alpha1.RepositoryStatus{Held: []string{"b"}, HandledConfirmation: "yes"},
		},
		{
			name: "not for what is held since", f: &followed{bound: "yes"},
			status: v1alpha1.RepositoryStatus{Held: []string{"b"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := apitest.Repository()
			repo.Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "yes"}
			repo.Status = test.status
			r := New(Config{Report: reported})
			if err := r.confirm(t.Context(), repo, test.f, test.Overdue); err != nil {
				t.Fatal(err)
			}
			repo.Status = statusOf(repo, test.f, branches.Changes{})
			if repo.Status.HandledConfirmation != test.handled {
				t.Errorf("what is handled is %q, want %q", repo.Status.HandledConfirmation, test.handled)
			}
			for _, name := range test.confirmed {
				if !test.f.confirmed[name] {
					t.Errorf("%s is not allowed", name)
				}
			}
			if len(test.f.confirmed) != len(test.confirmed) {
				t.Errorf("allowed are %v, want %q", test.f.confirmed, test.confirmed)
			}
		})
	}
}

// The agent may die after it stored which Environments a confirmation covers, and forget since when their branches are gone.
func TestAConfirmationOutlivesTheAgent(t *testing.T) {
	repo := apitest.Repository()
	repo.Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "yes"}
	all := []string{"posts.review.f0", "posts.review.f1", "posts.review.f2", "posts.review.f3"}
	repo.Status.Held = all
	r := New(Config{Report: reported})
	if err := r.confirm(t.Context(), repo, &followed{}, nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(repo.Status.Confirmed, all) || len(repo.Status.Held) > 0 || repo.Status.HandledConfirmation != "yes" {
		t.Fatalf("before anything is done, the status is %+v", repo.Status)
	}
	for _, step := range []struct {
		name      string
		reviews   int
		listings  int // that lacked the branches of the absent
		absent    []string
		gone      []string
		confirmed []string
	}{
		{"a restarted agent knows nothing yet", 5, 1, []string{"f0", "f1", "f2", "f3", "f4"}, nil, all},
		{"but then, of those alone", 5, 2, []string{"f0", "f1", "f2", "f3", "f4"}, []string{"f0", "f1", "f2", "f3"}, all},
		{"one that is pushed again stays", 5, 2, []string{"f0", "f1", "f2"}, []string{"f0", "f1", "f2"}, all[:3]},
		{"when all are gone none is allowed", 0, 2, nil, nil, nil},
	} {
		f := &followed{}
		if err := r.confirm(t.Context(), repo, f, nil); err != nil {
			t.Fatal(err)
		}
		have, e := lacking(repo, step.reviews, step.listings, step.absent)
		e.Confirmed = f.confirmed
		c := branches.Compare(have, branches.Want(repo, e.Listing.Heads), e)
		var gone []string
		for _, d := range c.Delete {
			gone = append(gone, d.Environment.Spec.Branch)
		}
		if !slices.Equal(gone, step.gone) || !slices.Equal(c.Confirmed, step.confirmed) {
			t.Errorf("%s: gone are %q, want %q; allowed are %q, want %q", step.name, gone, step.gone, c.Confirmed, step.confirmed)
		}
		repo.Status = statusOf(repo, f, c)
	}
}

func TestNothingIsDoneWhileAConfirmationCannotBeNoted(t *testing.T) {
	repo := apitest.Repository()
	repo.Annotations = map[string]string{v1alpha1.AnnotationConfirmed: "yes"}
	repo.Status.Held = []string{"a"}
	r := New(Config{Report: reported})
	ended, end := context.WithCancel(t.Context())
	end()
	f := &followed{}
	if err := r.confirm(ended, repo, f, nil); err == nil || len(f.confirmed) > 0 || f.bound != "" {
		t.Errorf("the error is %v, and %v are allowed", err, f.confirmed)
	}
}

// lacking returns the Environments of production and of reviews, and evidence that some branches were absent from so many
// listings, for long enough.
func lacking(repo *v1alpha1.Repository, reviews, listings int, absent []string) ([]v1alpha1.Environment, branches.Evidence) {
	e := branches.Evidence{
		Listing: source.Listing{Default: "main", Heads: map[string]string{"main": apitest.Commit("a")}},
		Current: true, Absent: map[string]branches.Absence{}, Now: apitest.Noon, GoneAfter: 5 * time.Minute,
	}
	have := []v1alpha1.Environment{apitest.Environment(repo, "production", "main")}
	for i := range reviews {
		branch := fmt.Sprintf("f%d", i)
		have = append(have, apitest.Environment(repo, "review", branch))
		e.Listing.Heads[branch] = apitest.Commit("a")
	}
	for _, branch := range absent {
		delete(e.Listing.Heads, branch)
		e.Absent[branch] = branches.Absence{Since: apitest.Noon.Add(-time.Hour), Listings: listings}
	}
	return have, e
}
