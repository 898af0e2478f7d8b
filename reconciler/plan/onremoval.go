package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// The values of manifest.AnnotationJob, besides "on-change".
const (
	everyCommit = "every-commit"
	once        = "once"
	onRemoval   = "on-removal"
)

// RunsOnRemoval reports whether an object is a Job that runs when its environment is deleted, and not before.
func RunsOnRemoval(o *manifest.Object) bool {
	return manifest.IsJob(o.GroupVersionKind().GroupKind()) && annotation(o, manifest.AnnotationJob) == onRemoval
}

// whenGone says in messages when such a Job runs.
const whenGone = "runs when the environment is torn down"

// maxLastJob bounds the manifest of a Job that the record has to keep.
const maxLastJob = 64 << 10

// grace is how long to wait for a Job beyond its own deadline. The cluster itself reports that the deadline has passed.
const grace = 30 * time.Second

// LastJob is a Job that runs when the environment is deleted. The record keeps its manifest, because the branch may be
// gone by then.
type LastJob struct {
	// Manifest is the Job in JSON, as in Git. Digest identifies it, and Origin is its place in Git.
	Manifest string          `json:"manifest"`
	Digest   string          `json:"digest"`
	Origin   manifest.Origin `json:"origin,omitzero"`
	// Timeout is how long to wait for its success.
	Timeout time.Duration `json:"timeout"`
	// Begun is when its run was intended; zero while the environment stays. Told says that the reason of its failure
	// was reported. Only later confirmations count.
	Begun time.Time `json:"begun,omitzero"`
	Told  bool      `json:"told,omitempty"`
}

// object returns the Job as Git said it. An unreadable manifest, which Berth never writes, becomes an empty object,
// which the API server refuses.
func (j LastJob) object() *manifest.Object {
	u := &unstructured.Unstructured{}
	if u.UnmarshalJSON([]byte(j.Manifest)) != nil {
		u.Object = map[string]any{}
	}
	return &manifest.Object{Unstructured: u, Origin: j.Origin, Digest: j.Digest}
}

// Leaving reports whether a removal has begun that cannot be undone any more: a Job that runs on removal was created,
// and has not failed.
func (r Record) Leaving() bool {
	leaving := false
	for key, job := range r.LastJobs {
		if job.Begun.IsZero() {
			continue
		}
		switch run := r.Jobs[key]; {
		case run.State == JobSucceeded:
			return true
		case run.State == JobIntended, run.State == JobCreated:
			leaving = true
		}
	}
	return leaving
}

// prepare decides about a Job that runs when the environment is deleted. The Job is validated and recorded. It is not
// in the cluster before that.
func (m *maker) prepare(s *Step) {
	s.Reason, s.Health = whenGone, health.Health{Status: health.Healthy}
	delete(m.record.Jobs, s.Key) // earlier runs under this name, as another kind of Job, do not count
	job, err := m.lastJob(s.Object)
	known, remembered := m.record.LastJobs[s.Key]
	switch {
	case err != nil:
		m.fail(s, err.Error())
	case s.Live != nil && !m.ours(*s.Live):
		m.fail(s, "is there already and was not made by Berth; remove it, or rename the one in Git")
	case s.Live != nil && s.Live.Deleting:
		s.Action = Delete
		s.block(forItself, s.Live.Health.Message)
	case s.Live != nil && s.Live.Runs():
		s.Action, s.Health = Delete, health.Health{Status: health.Progressing, Message: "waits for the running Job to finish"}
		s.block(forOthers, s.Health.Message)
	case s.Live != nil:
		s.Action, s.Reason = Delete, whenGone+", and an earlier run still exists"
	case remembered && known.Manifest == job.Manifest:
		m.record.LastJobs[s.Key] = job
	default:
		s.Action, s.lastJob = Prepare, job
		if remembered {
			s.Before = known.object()
		}
		s.Health = health.Health{Status: health.Progressing, Message: whenGone}
	}
}

// lastJob returns what the record keeps of a Job.
func (m *maker) lastJob(o *manifest.Object) (LastJob, error) {
	text, err := json.Marshal(o.Object)
	switch {
	case err != nil:
		return LastJob{}, fmt.Errorf("cannot be written as JSON: %w", err)
	case len(text) > maxLastJob:
		return LastJob{}, fmt.Errorf("has %d bytes, and a Job that %s may have %d; move its scripts to a ConfigMap", len(text), whenGone, maxLastJob)
	}
	job := LastJob{Manifest: string(text), Digest: o.Digest, Origin: o.Origin, Timeout: m.limit(Step{Object: o})}
	if seconds, own, _ := unstructured.NestedInt64(o.Object, "spec", "activeDeadlineSeconds"); own {
		job.Timeout = time.Duration(seconds)*time.Second + grace
	}
	return job, nil
}

// stay forgets a removal that was cancelled because the environment is needed again.
func (m *maker) stay() {
	for key, job := range m.record.LastJobs {
		if !job.Begun.IsZero() {
			job.Begun, job.Told = time.Time{}, false
			m.record.LastJobs[key] = job
		}
	}
}

// forgetLastJobs forgets the Jobs that left Git, once everything that they were made for is gone.
func (m *maker) forgetLastJobs() {
	maps.DeleteFunc(m.record.LastJobs, func(key manifest.Key, _ LastJob) bool {
		return !slices.ContainsFunc(m.steps, func(s Step) bool { return s.Key == key && s.Object != nil && RunsOnRemoval(s.Object) })
	})
}
