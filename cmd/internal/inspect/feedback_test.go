package inspect

import (
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

func TestReported(t *testing.T) {
	for want, told := range map[string]*v1alpha1.EnvironmentFeedback{
		"": nil,
		"Success on commit 00112233, a note in merge request 7, a note with a plan in merge request 8": {
			Commit: "0011223344", State: "Success", Notes: []v1alpha1.MergeRequestNote{{MergeRequest: 7, ID: 1}, {MergeRequest: 8, ID: 2, Plan: "x"}}},
		"plans in merge requests 3, 5": {Plans: []v1alpha1.MergeRequestNote{{MergeRequest: 3, ID: 1, Plan: "x"}, {MergeRequest: 4, Plan: "nothing changes"}, {MergeRequest: 5, ID: 2, Plan: "x"}}},
	} {
		if got := Reported(told); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
