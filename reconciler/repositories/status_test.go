package repositories

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/source"
)

func TestStatusOf(t *testing.T) {
	trouble := func(reason source.Reason) *followed {
		return &followed{trouble: &source.Error{Reason: reason, Op: "list"}}
	}
	suspended := apitest.Repository(func(r *v1alpha1.Repository) { r.Spec.Suspend = true })
	for _, test := range []struct {
		name    string
		repo    *v1alpha1.Repository
		f       *followed
		c       branches.Changes
		reason  string
		stalled bool
	}{
		{"all is well", apitest.Repository(), &followed{}, branches.Changes{}, v1alpha1.ReasonWatching, false},
		{"something is wrong with an entry", apitest.Repository(), &followed{}, branches.Changes{Notes: []string{"no branch main"}}, v1alpha1.ReasonInvalid, true},
		{"a person has to confirm", apitest.Repository(), &followed{}, branches.Changes{Notes: []string{"no branch main"}, Doubts: []string{"4 of 5"}}, v1alpha1.ReasonWaiting, true},
		{"suspended, whatever else", suspended, trouble(source.Unauthorized), branches.Changes{}, v1alpha1.ReasonSuspended, false},
		{"no entry belongs to this agent", apitest.Repository(func(r *v1alpha1.Repository) { r.Spec.Environments = nil }), &followed{}, branches.Changes{}, v1alpha1.ReasonWatching, false},
		{"the server is down", apitest.Repository(), trouble(source.Unreachable), branches.Changes{Notes: []string{"hidden"}}, v1alpha1.ReasonUnreachable, false},
		{"wrong credentials", apitest.Repository(), trouble(source.Unauthorized), branches.Changes{}, v1alpha1.ReasonUnauthorized, true},
		{"no branches", apitest.Repository(), trouble(source.Empty), branches.Changes{}, v1alpha1.ReasonEmpty, true},
		{"no such repository", apitest.Repository(), trouble(source.NotFound), branches.Changes{}, v1alpha1.ReasonInvalid, true},
		{"something that is not Git", apitest.Repository(), trouble(source.NotGit), branches.Changes{}, v1alpha1.ReasonInvalid, true},
		{"another repository", apitest.Repository(), &followed{trouble: &errDoubtful{repository: "posts"}}, branches.Changes{}, v1alpha1.ReasonDoubtful, true},
		{"any other trouble", apitest.Repository(), &followed{trouble: errors.New("cannot")}, branches.Changes{}, v1alpha1.ReasonInvalid, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := statusOf(test.repo, test.f, test.c)
			if ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); ready.Reason != test.reason || ready.Message == "" {
				t.Errorf("Ready is %q: %q, want %q", ready.Reason, ready.Message, test.reason)
			}
			if stalled := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionStalled); (stalled != nil) != test.stalled {
				t.Errorf("Stalled is %v", stalled)
			}
		})
	}
}

func TestAPollAloneChangesNoStatus(t *testing.T) {
	f := &followed{listing: source.Listing{Heads: map[string]string{"main": apitest.Commit("a")}}, changed: apitest.Noon, request: "1", confirmation: "2"}
	repo := apitest.Repository()
	repo.Status = statusOf(repo, f, branches.Changes{})
	repo.Status.LastHookTime = repo.Status.LastChangeTime
	again := statusOf(repo, &followed{listing: f.listing}, branches.Changes{})
	if again.HandledRequest != "1" || again.HandledConfirmation != "2" || !again.LastChangeTime.Equal(repo.Status.LastChangeTime) || again.LastHookTime == nil {
		t.Errorf("after a restart the status is %+v", again)
	}
}
