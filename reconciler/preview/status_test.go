package preview

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

func TestStatusOf(t *testing.T) {
	trouble := func(reason source.Reason) *followed {
		return &followed{trouble: &source.Error{Reason: reason, Op: "list"}}
	}
	suspended := repository(func(r *v1alpha1.Repository) { r.Spec.Suspend = true })
	for _, test := range []struct {
		name    string
		repo    *v1alpha1.Repository
		f       *followed
		c       changes
		reason  string
		stalled bool
	}{
		{"all is well", repository(), &followed{}, changes{}, v1alpha1.ReasonWatching, false},
		{"something is wrong with an entry", repository(), &followed{}, changes{notes: []string{"no branch main"}}, v1alpha1.ReasonInvalid, true},
		{"a person has to confirm", repository(), &followed{}, changes{notes: []string{"no branch main"}, doubts: []string{"4 of 5"}}, v1alpha1.ReasonWaiting, true},
		{"suspended, whatever else", suspended, trouble(source.Unauthorized), changes{}, v1alpha1.ReasonSuspended, false},
		{"the server is down", repository(), trouble(source.Unreachable), changes{notes: []string{"hidden"}}, v1alpha1.ReasonUnreachable, false},
		{"wrong credentials", repository(), trouble(source.Unauthorized), changes{}, v1alpha1.ReasonUnauthorized, true},
		{"no branches", repository(), trouble(source.Empty), changes{}, v1alpha1.ReasonEmpty, true},
		{"no such repository", repository(), trouble(source.NotFound), changes{}, v1alpha1.ReasonInvalid, true},
		{"something that is not Git", repository(), trouble(source.NotGit), changes{}, v1alpha1.ReasonInvalid, true},
		{"another repository", repository(), &followed{trouble: &errDoubtful{repository: "posts"}}, changes{}, v1alpha1.ReasonDoubtful, true},
		{"any other trouble", repository(), &followed{trouble: errors.New("cannot")}, changes{}, v1alpha1.ReasonInvalid, true},
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
	f := &followed{listing: source.Listing{Heads: map[string]string{"main": commit("a")}}, changed: noon, request: "1", confirmation: "2"}
	repo := repository()
	repo.Status = statusOf(repo, f, changes{})
	repo.Status.LastHookTime = repo.Status.LastChangeTime
	again := statusOf(repo, &followed{listing: f.listing}, changes{})
	if again.HandledRequest != "1" || again.HandledConfirmation != "2" || !again.LastChangeTime.Equal(repo.Status.LastChangeTime) || again.LastHookTime == nil {
		t.Errorf("after a restart the status is %+v", again)
	}
}
