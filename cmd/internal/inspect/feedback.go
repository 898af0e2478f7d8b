package inspect

import (
	"fmt"
	"strings"

	"berth.dev/berth/api/v1alpha1"
)

// Reported returns what the forge shows of an environment, in words; empty if nothing was reported.
func Reported(f *v1alpha1.EnvironmentFeedback) string {
	if f == nil {
		return ""
	}
	var parts []string
	if f.Commit != "" {
		parts = append(parts, fmt.Sprintf("%s on commit %.8s", f.State, f.Commit))
	}
	for _, n := range f.Notes {
		what := "a note"
		if n.Plan != "" {
			what = "a note with a plan"
		}
		parts = append(parts, fmt.Sprintf("%s in merge request %d", what, n.MergeRequest))
	}
	var plans []string
	for _, n := range f.Plans {
		if n.ID != 0 {
			plans = append(plans, fmt.Sprint(n.MergeRequest))
		}
	}
	if len(plans) > 0 {
		parts = append(parts, "plans in merge requests "+strings.Join(plans, ", "))
	}
	if d := f.Deployment; d != nil {
		parts = append(parts, "a deployment to "+d.Environment)
	}
	return strings.Join(parts, ", ")
}

// NotReported returns why the forge does not show the current state of an environment; empty if it does.
func NotReported(f *v1alpha1.EnvironmentFeedback) string {
	if f == nil {
		return ""
	}
	return f.Error
}
