package report

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

// The patch names what is not told any more, because a merge patch keeps what it does not name. The cache may be older.
func TestThePatchOfWhatWasReported(t *testing.T) {
	told := &v1alpha1.EnvironmentFeedback{Commit: "a", State: "Success", Notes: []v1alpha1.MergeRequestNote{{MergeRequest: 7, ID: 8}}}
	patch, err := feedbackPatch(told)
	want := `{"status":{"feedback":{"commit":"a","deployment":null,"digest":null,"error":null,"name":null,"notes":[{"id":8,"mergeRequest":7}],"pipeline":null,"plans":null,"project":null,"state":"Success"}}}`
	if diff := cmp.Diff(want, string(patch)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestThePatchOfWhatWasReportedNamesAllFields(t *testing.T) {
	patch, err := feedbackPatch(&v1alpha1.EnvironmentFeedback{})
	if err != nil {
		t.Fatal(err)
	}
	for field := range reflect.TypeFor[v1alpha1.EnvironmentFeedback]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !strings.Contains(string(patch), `"`+name+`":null`) {
			t.Errorf("the patch does not remove %s: %s", name, patch)
		}
	}
}

// The condition Feedback comes from what reports to the forge. After a start, it stays until something is reported.
func TestTheConditionFeedback(t *testing.T) {
	condition := func(reason string) *metav1.Condition {
		return &metav1.Condition{Type: v1alpha1.ConditionFeedback, Status: metav1.ConditionFalse, Reason: reason}
	}
	reporting := apitest.Repository(func(repo *v1alpha1.Repository) {
		repo.Spec.Feedback = &v1alpha1.Feedback{}
		repo.Status.Conditions = []metav1.Condition{*condition("Earlier")}
	})
	silent := reporting.DeepCopy()
	silent.Spec.Feedback = nil
	for _, test := range []struct {
		rule    string
		repo    *v1alpha1.Repository
		current *metav1.Condition
		want    []string
	}{
		{"a Repository without feedback has none", silent, condition("Forbidden"), []string{"Ready"}},
		{"the current one", reporting, condition("Forbidden"), []string{"Ready", "Forbidden"}},
		{"nothing was reported yet", reporting, nil, []string{"Ready", "Earlier"}},
		{"nothing was ever reported", apitest.Repository(func(repo *v1alpha1.Repository) { repo.Spec.Feedback = &v1alpha1.Feedback{} }), nil, []string{"Ready"}},
	} {
		r := New(Config{Now: func() time.Time { return noon }, Feedback: func(*v1alpha1.Repository) *metav1.Condition { return test.current }})
		var got []string
		for _, c := range r.withFeedback(test.repo, []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: "Ready"}}) {
			got = append(got, c.Reason)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: conditions (-want +got):\n%s", test.rule, diff)
		}
	}
}

func TestEventsOfFeedback(t *testing.T) {
	with := func(status metav1.ConditionStatus, reason string) v1alpha1.RepositoryStatus {
		return v1alpha1.RepositoryStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionFeedback, Status: status, Reason: reason, Message: "why"}}}
	}
	none, reported, forbidden, unreachable := v1alpha1.RepositoryStatus{}, with(metav1.ConditionTrue, "Reported"), with(metav1.ConditionFalse, "Forbidden"), with(metav1.ConditionFalse, "Unreachable")
	for _, test := range []struct {
		rule          string
		before, after v1alpha1.RepositoryStatus
		want          string
	}{
		{"a refusal is a warning", reported, forbidden, "Warning Feedback: Forbidden: why"},
		{"also the first answer", none, forbidden, "Warning Feedback: Forbidden: why"},
		{"once", forbidden, forbidden, ""},
		{"until there is another reason", forbidden, unreachable, "Warning Feedback: Unreachable: why"},
		{"its end is none", forbidden, reported, ""},
		{"nor is a Repository that reports nothing", reported, none, ""},
	} {
		got := ""
		for _, e := range repositoryEvents(test.before, test.after) {
			got = e.kind + " " + e.reason + ": " + e.note
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.rule, got, test.want)
		}
	}
}
