package inspect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// Stage is one part of the way of a commit from Git to the link.
type Stage struct {
	Name   string     `json:"name"`
	State  StageState `json:"state"`
	Detail string     `json:"detail,omitempty"`
	// Took is how long the stage took until it ended or failed, if that is known.
	Took metav1.Duration `json:"took,omitzero"`
	// Since is when the stage began, if it is the one that goes on.
	Since metav1.Time `json:"since,omitzero"`
}

// StageState is how far a stage is.
type StageState string

// The states of a stage.
const (
	StagePending    StageState = "Pending" // it has not been reached
	StageGoing      StageState = "Going"
	StageDone       StageState = "Done"
	StageFailed     StageState = "Failed"
	StageRolledBack StageState = "RolledBack" // an older commit has taken its place
)

// Stages returns the way of the current commit, with where it stands now: Git, Render, Waves, Rollout and Link. An environment
// that is being removed has none.
func Stages(env *v1alpha1.Environment, objects []Object) []Stage {
	w := way{env: env, reason: Ready(env.Status.Conditions).Reason}
	switch w.reason {
	case v1alpha1.ReasonExpiring, v1alpha1.ReasonExpired, v1alpha1.ReasonDeleting:
		return nil
	}
	w.count(objects)
	if s := env.Status.Sync; s != nil && w.isCurrent(s.Commit) {
		w.times = *s
	}
	w.waves = wavesOf(env, objects, w.times.StartedAt.Time)
	stages := []Stage{w.git(), w.render(), w.apply(), w.rollout(), w.link()}
	if n := slices.IndexFunc(stages, func(s Stage) bool { return s.State == StageGoing }); n >= 0 {
		stages[n].Since = w.since(stages[n].Name)
	}
	return stages
}

// way derives the stages from the status, and from the objects as they are now.
type way struct {
	env            *v1alpha1.Environment
	reason         string
	waves          []wave
	healthy, total int
	blind          bool                  // no object could be read, such as in another cluster
	times          v1alpha1.SyncProgress // zero if they are those of another commit
}

// count counts the objects. If none of them could be read, it takes the counts of the agent.
func (w *way) count(objects []Object) {
	for _, o := range objects {
		w.total++
		if o.Health == health.Healthy {
			w.healthy++
		}
	}
	n := w.env.Status.Objects
	if w.blind = n != nil && n.Total > 0 && !slices.ContainsFunc(objects, func(o Object) bool { return !o.CreatedAt.IsZero() }); w.blind {
		w.healthy, w.total = int(n.Healthy), int(n.Total)
	}
}

// isCurrent reports whether the status is about a commit.
func (w way) isCurrent(commit string) bool {
	return w.env.Status.ShortCommit != "" && strings.HasPrefix(commit, w.env.Status.ShortCommit)
}

// applied reports whether everything of the commit was written.
func (w way) applied() bool { return w.isCurrent(w.env.Status.AppliedCommit) }

// since returns when the stage began that goes on; zero if that is not known.
func (w way) since(name string) metav1.Time {
	began := w.times.StartedAt
	switch c := meta.FindStatusCondition(w.env.Status.Conditions, v1alpha1.ConditionReconciling); {
	case name == "Git":
		return metav1.Time{} // nothing says when the agent noticed the commit
	case began.IsZero() && c != nil:
		return c.LastTransitionTime
	case name == "Rollout":
		began.Time = began.Add(w.times.Apply.Duration)
	}
	return began
}

// failedAfter returns how long a stage took that failed, which began some time after the sync.
func (w way) failedAfter(began time.Duration) metav1.Duration {
	if h := w.env.Status.History; len(h) > 0 && h[0].Outcome == v1alpha1.ReasonFailed && w.isCurrent(h[0].Commit) {
		return metav1.Duration{Duration: max(0, h[0].Took.Duration-began)}
	}
	return metav1.Duration{}
}

func (w way) git() Stage {
	s := Stage{Name: "Git", State: StageDone, Detail: w.env.Status.ShortCommit, Took: w.times.Fetch}
	target := Target(w.env)
	isNewer := w.env.Status.ShortCommit != "" && !strings.HasPrefix(target, w.env.Status.ShortCommit) && w.reason != v1alpha1.ReasonRolledBack
	newer := target[:min(8, len(target))]
	switch {
	case w.env.Status.ShortCommit == "":
		s.State, s.Detail = StageGoing, "no commit yet"
	case isNewer && w.env.Spec.Suspend:
		s.Detail += ", " + newer + " waits"
	case isNewer:
		s.State, s.Detail, s.Took = StageGoing, "new commit "+newer, metav1.Duration{}
	case w.env.Spec.Pin != "":
		s.Detail += ", pinned"
	}
	return s
}

// hasFailed reports whether an object of the environment has failed.
func (w way) hasFailed() bool {
	return slices.ContainsFunc(w.env.Status.Unhealthy, func(u v1alpha1.UnhealthyObject) bool { return u.Health == string(health.Failed) })
}

// render fails if the commit failed before anything of it was written, and no object is to blame. So it does if a later
// input of the applied commit cannot be read, such as without its keys, while all that runs is healthy.
func (w way) render() Stage {
	s := Stage{Name: "Render", State: StageDone, Detail: "manifests are valid", Took: w.times.Render}
	isRead := w.env.Status.Objects != nil || w.env.Status.AppliedCommit != ""
	isGoing := w.times.Commit != "" && w.times.Render.Duration == 0 && !w.applied() || !isRead
	switch {
	case w.reason == v1alpha1.ReasonFailed && !w.hasFailed() && (!w.applied() || w.healthy == w.total):
		s.State, s.Detail, s.Took = StageFailed, "refused, see the message", metav1.Duration{}
	case isGoing && w.reason == v1alpha1.ReasonSyncing:
		s.State, s.Detail = StageGoing, "reading manifests"
	case !isRead:
		s.State, s.Detail = StagePending, ""
	}
	return s
}

// wave are the objects of a wave.
type wave struct {
	number         int
	healthy, total int
	failed         bool
	longest        time.Duration // of the Jobs of this sync, which run at the same time
}

// wavesOf returns the waves of the objects that the cluster has, in their order.
func wavesOf(env *v1alpha1.Environment, objects []Object, began time.Time) []wave {
	byNumber := map[int]*wave{}
	var numbers []int
	for _, o := range objects {
		if o.CreatedAt.IsZero() || IsOnRemoval(env, o) || o.Place().Phase != manifest.Main {
			continue
		}
		n := o.Place().Wave
		if byNumber[n] == nil {
			byNumber[n] = &wave{number: n}
			numbers = append(numbers, n)
		}
		at := byNumber[n]
		at.total++
		if !o.CreatedAt.Time.Before(began) { // else an earlier sync ran it
			at.longest = max(at.longest, o.Took.Duration)
		}
		at.failed = at.failed || o.Health == health.Failed
		if o.Health == health.Healthy {
			at.healthy++
		}
	}
	slices.Sort(numbers)
	var waves []wave
	for _, n := range numbers {
		waves = append(waves, *byNumber[n])
	}
	return waves
}

// IsOnRemoval reports whether an object is a Job that runs only when the environment is removed.
func IsOnRemoval(env *v1alpha1.Environment, o Object) bool {
	return o.Kind == "Job" && slices.ContainsFunc(env.Status.Jobs, func(j v1alpha1.JobStatus) bool {
		return j.Name == o.Name && j.Outcome == v1alpha1.JobOnRemoval
	})
}

func (w way) apply() Stage {
	s := Stage{Name: "Waves", State: StageDone, Took: w.times.Apply}
	if w.render().State != StageDone {
		return Stage{Name: s.Name, State: StagePending}
	}
	next := slices.IndexFunc(w.waves, func(v wave) bool { return v.healthy < v.total })
	now := ""
	if next >= 0 {
		now = fmt.Sprintf("Wave %d", w.waves[next].number)
	}
	switch {
	case w.applied():
		s.Detail = fmt.Sprintf("%d of %d applied", len(w.waves), len(w.waves)) + w.jobs()
	case w.reason == v1alpha1.ReasonSyncing:
		s.State, s.Detail = StageGoing, now
	case now != "":
		s.Detail = now + " has not settled"
		if w.waves[next].failed {
			s.State, s.Took = StageFailed, w.failedAfter(0)
		}
	}
	if len(w.waves) == 0 {
		s.Detail = "nothing to order"
		if w.blind {
			s.Detail = "no objects shown"
		}
	}
	return s
}

// jobs returns how long the Jobs of the waves ran, one after the other.
func (w way) jobs() string {
	var took time.Duration
	for _, v := range w.waves {
		took += v.longest
	}
	if took == 0 {
		return ""
	}
	return ", Jobs took " + took.String()
}

func (w way) rollout() Stage {
	s := Stage{Name: "Rollout", State: StagePending}
	if w.total == 0 || w.apply().State == StagePending {
		return s
	}
	s.Detail = fmt.Sprintf("%d of %d healthy", w.healthy, w.total)
	switch w.reason {
	case v1alpha1.ReasonHealthy:
		s.State, s.Took = StageDone, w.times.Rollout
	case v1alpha1.ReasonSyncing:
		s.State = StageGoing
	case v1alpha1.ReasonFailed, v1alpha1.ReasonDegraded:
		s.State = StageFailed
		if w.applied() && w.reason == v1alpha1.ReasonFailed {
			s.Took = w.failedAfter(w.times.Apply.Duration)
		}
	case v1alpha1.ReasonRolledBack:
		s.State = StageRolledBack
	}
	return s
}

func (w way) link() Stage {
	s := Stage{Name: "Link", State: StagePending, Detail: w.env.Status.Link}
	switch {
	case w.env.Status.Link == "":
		s.Detail = "none set"
	case w.reason == v1alpha1.ReasonHealthy, w.reason == v1alpha1.ReasonRolledBack:
		s.State = StageDone
	}
	return s
}
