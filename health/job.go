package health

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
)

type jobSpec struct {
	Parallelism *int32 `json:"parallelism"`
	Completions *int32 `json:"completions"`
	Suspend     bool   `json:"suspend"`
}

type jobStatus struct {
	Conditions    conditions `json:"conditions"`
	StartTime     string     `json:"startTime"`
	Active        int32      `json:"active"`
	Succeeded     int32      `json:"succeeded"`
	Failed        int32      `json:"failed"`
	FailedIndexes string     `json:"failedIndexes"`
}

// job is Healthy only when the Job is complete. kstatus, and so Flux, calls a Job current once it has started. A
// rollout would then not wait for its migration, so kstatus is not used here.
func job(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[jobSpec, jobStatus](obj)
	if err != nil {
		return Health{}, err
	}
	s := v.Status
	if s.Conditions.get("Complete").Status == "True" {
		return healthy()
	}
	if c := s.Conditions.get("Failed"); c.Status == "True" {
		return failed("%s%s", c.because(), failedIndexes(s))
	}
	if v.Spec.Suspend || s.Conditions.get("Suspended").Status == "True" {
		return Health{Suspended, "suspended: it runs when it is resumed"}, nil
	}
	// Failed is set only when the last pod has ended; until then the outcome is known but the Job still runs.
	if c := s.Conditions.get("FailureTarget"); c.Status == "True" {
		return progressing("failing, waiting for its pods to end: %s%s", c.because(), failedIndexes(s))
	}
	if s.StartTime == "" {
		return progressing("not started")
	}
	return progressing("%s", jobCount(v.Spec, s))
}

func failedIndexes(s jobStatus) string {
	if s.FailedIndexes == "" {
		return ""
	}
	return " (failed indexes " + oneLine(s.FailedIndexes) + ")"
}

// jobCount returns how many pods have completed. A work queue (several pods, no completions) is done when one of its
// pods exits successfully, so only the number of running ones is informative.
func jobCount(spec jobSpec, s jobStatus) string {
	message := ""
	if queue := spec.Completions == nil && ptr.Deref(spec.Parallelism, 1) > 1; queue {
		message = plural(s.Active, "pod") + " running"
	} else {
		message = countOf(s.Succeeded, ptr.Deref(spec.Completions, 1), "completed")
	}
	if s.Failed > 0 {
		message += ", " + plural(s.Failed, "pod") + " failed"
	}
	return message
}
