package inspect

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

const current, newer = "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b", "9f8e7d6c5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b"

var noon = metav1.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)

// in returns an object of a wave.
func in(wave int, h health.Status) Object {
	return Object{Kind: "Deployment", Name: "api", Health: h, CreatedAt: noon, place: manifest.Place{Phase: manifest.Main, Wave: wave}}
}

func ready(reason string) []metav1.Condition {
	return []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}}
}

func TestTheStagesShowWhereACommitStands(t *testing.T) {
	healthy, moving, failed := in(0, health.Healthy), in(1, health.Progressing), in(1, health.Failed)
	for name, test := range map[string]struct {
		reason          string
		target, applied string
		unhealthy       health.Status
		fresh           bool // nothing was ever applied
		objects         []Object
		want            string
	}{
		"everything is healthy":              {v1alpha1.ReasonHealthy, current, current, "", false, []Object{healthy}, "Done Done Done Done Done"},
		"a newer commit was pushed":          {v1alpha1.ReasonHealthy, newer, current, "", false, []Object{healthy}, "Going Done Done Done Done"},
		"the first commit is read":           {v1alpha1.ReasonSyncing, current, "", "", true, nil, "Done Going Pending Pending Pending"},
		"it waits for a slot":                {v1alpha1.ReasonQueued, current, "", "", true, nil, "Done Pending Pending Pending Pending"},
		"a wave is applied":                  {v1alpha1.ReasonSyncing, current, newer, "", false, []Object{healthy, moving}, "Done Done Going Going Pending"},
		"the last wave settles":              {v1alpha1.ReasonSyncing, current, current, "", false, []Object{healthy, moving}, "Done Done Done Going Pending"},
		"its manifests are refused":          {v1alpha1.ReasonFailed, current, newer, "", false, []Object{healthy}, "Done Failed Pending Pending Pending"},
		"its keys are gone":                  {v1alpha1.ReasonFailed, current, current, "", false, []Object{healthy}, "Done Failed Pending Pending Pending"},
		"it takes too long":                  {v1alpha1.ReasonFailed, current, current, health.Progressing, false, []Object{healthy, moving}, "Done Done Done Failed Pending"},
		"a wave fails before the last":       {v1alpha1.ReasonFailed, current, newer, health.Failed, false, []Object{healthy, failed}, "Done Done Failed Failed Pending"},
		"the rollout fails":                  {v1alpha1.ReasonFailed, current, current, health.Failed, false, []Object{healthy, failed}, "Done Done Done Failed Pending"},
		"it was healthy and no longer is":    {v1alpha1.ReasonDegraded, current, current, health.Failed, false, []Object{healthy, failed}, "Done Done Done Failed Pending"},
		"the last healthy commit runs again": {v1alpha1.ReasonRolledBack, newer, current, "", false, []Object{healthy}, "Done Done Done RolledBack Done"},
		"it is being removed":                {v1alpha1.ReasonDeleting, current, current, "", false, []Object{healthy}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Commit: test.target}, Status: v1alpha1.EnvironmentStatus{
				ShortCommit: current[:8], AppliedCommit: test.applied, Link: "https://a.example.com", Conditions: ready(test.reason),
			}}
			if !test.fresh {
				env.Status.Objects = &v1alpha1.ObjectCount{}
			}
			if test.unhealthy != "" {
				env.Status.Unhealthy = []v1alpha1.UnhealthyObject{{Health: string(test.unhealthy)}}
			}
			var got []string
			for _, stage := range Stages(env, test.objects) {
				got = append(got, string(stage.State))
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestTheStagesHaveTimes(t *testing.T) {
	seconds := func(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }
	progress := func(commit string, fetch, render, apply, rollout int) *v1alpha1.SyncProgress {
		return &v1alpha1.SyncProgress{Commit: commit, StartedAt: noon, Fetch: seconds(fetch), Render: seconds(render), Apply: seconds(apply), Rollout: seconds(rollout)}
	}
	failed := []v1alpha1.SyncStatus{{Commit: current, Outcome: v1alpha1.ReasonFailed, Took: seconds(60)}}
	for name, test := range map[string]struct {
		reason  string
		applied string
		sync    *v1alpha1.SyncProgress
		history []v1alpha1.SyncStatus
		health  health.Status
		want    string
	}{
		"all have ended":                     {v1alpha1.ReasonHealthy, current, progress(current, 1, 2, 3, 4), nil, health.Healthy, "1s 2s 3s 4s 0s"},
		"the waves go on":                    {v1alpha1.ReasonSyncing, "", progress(current, 1, 2, 0, 0), nil, health.Progressing, "1s 2s since:12:00:00 0s 0s"},
		"the rollout goes on":                {v1alpha1.ReasonSyncing, current, progress(current, 1, 2, 3, 0), nil, health.Progressing, "1s 2s 3s since:12:00:03 0s"},
		"the render goes on":                 {v1alpha1.ReasonSyncing, newer, progress(current, 1, 0, 0, 0), nil, health.Healthy, "1s since:12:00:00 0s 0s 0s"},
		"a wave failed":                      {v1alpha1.ReasonFailed, "", progress(current, 1, 2, 0, 0), failed, health.Failed, "1s 2s 1m0s 0s 0s"},
		"the rollout failed":                 {v1alpha1.ReasonFailed, current, progress(current, 1, 2, 3, 0), failed, health.Failed, "1s 2s 3s 57s 0s"},
		"they are of another commit":         {v1alpha1.ReasonHealthy, current, progress(newer, 1, 2, 3, 4), nil, health.Healthy, "0s 0s 0s 0s 0s"},
		"they are of an agent that had none": {v1alpha1.ReasonSyncing, current, nil, nil, health.Progressing, "0s 0s 0s since:11:59:00 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Commit: current}, Status: v1alpha1.EnvironmentStatus{
				ShortCommit: current[:8], AppliedCommit: test.applied, Conditions: ready(test.reason), Sync: test.sync, History: test.history, Objects: &v1alpha1.ObjectCount{Total: 1},
			}}
			env.Status.Conditions = append(env.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReconciling, LastTransitionTime: metav1.Time{Time: noon.Add(-time.Minute)}})
			if test.health == health.Failed {
				env.Status.Unhealthy = []v1alpha1.UnhealthyObject{{Health: string(health.Failed)}}
			}
			var got []string
			for _, stage := range Stages(env, []Object{in(0, test.health)}) {
				if stage.Since.IsZero() {
					got = append(got, stage.Took.Duration.String())
				} else {
					got = append(got, "since:"+stage.Since.UTC().Format(time.TimeOnly))
				}
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// Jobs of a wave run at the same time, and waves one after the other.
func TestTheWavesSayHowLongTheirJobsTook(t *testing.T) {
	job := func(wave int, took time.Duration) Object {
		o := in(wave, health.Healthy)
		o.Kind, o.Took = "Job", metav1.Duration{Duration: took}
		return o
	}
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Commit: current}, Status: v1alpha1.EnvironmentStatus{
		ShortCommit: current[:8], AppliedCommit: current, Conditions: ready(v1alpha1.ReasonHealthy),
	}}
	objects := []Object{job(-1, 4*time.Second), job(-1, 3*time.Second), job(0, 2*time.Second)}
	if got, want := Stages(env, objects)[2].Detail, "2 of 2 applied, Jobs took 6s"; got != want {
		t.Errorf("the waves are %q, want %q", got, want)
	}
	env.Status.Sync = &v1alpha1.SyncProgress{Commit: current, StartedAt: metav1.Time{Time: noon.Add(time.Minute)}}
	if got, want := Stages(env, objects)[2].Detail, "2 of 2 applied"; got != want {
		t.Errorf("after the sync that ran the Jobs, the waves are %q, want %q", got, want)
	}
}

// Objects in another cluster, or those that the viewer may not read, are only in the status.
func TestTheRolloutCountsWhatTheAgentSees(t *testing.T) {
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Commit: current}, Status: v1alpha1.EnvironmentStatus{
		ShortCommit: current[:8], AppliedCommit: current, Conditions: ready(v1alpha1.ReasonDegraded), Objects: &v1alpha1.ObjectCount{Total: 6, Healthy: 5},
	}}
	missing := Object{Kind: "Deployment", Name: "api", Health: health.Failed}
	for _, objects := range [][]Object{nil, {missing}} {
		stages := Stages(env, objects)
		if got := stages[2].Detail + ", " + stages[3].Detail; got != "no objects shown, 5 of 6 healthy" {
			t.Errorf("with %d objects it is %q", len(objects), got)
		}
	}
}

// A push to a suspended environment changes nothing, however long one looks.
func TestACommitWaitsWhileTheEnvironmentIsSuspended(t *testing.T) {
	env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{Commit: newer, Suspend: true}, Status: v1alpha1.EnvironmentStatus{
		ShortCommit: current[:8], AppliedCommit: current, Conditions: ready(v1alpha1.ReasonSuspended),
	}}
	if got := Stages(env, nil)[0]; got.State != StageDone || got.Detail != "1a2b3c4d, 9f8e7d6c waits" {
		t.Errorf("Git is %+v", got)
	}
}
