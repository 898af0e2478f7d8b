package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// The limits of a status.
const (
	maxUnhealthy = 20
	maxBlocked   = 20
	maxWarnings  = 20
	maxHistory   = 10
	maxMessage   = 1024
	maxCondition = 16 << 10 // for a Repository, which reports many branches at once; the API's limit is 32 KiB
	shortCommit  = 8
)

// reasons has, by state, the reason that users read.
var reasons = map[plan.State]string{
	plan.Settled:  v1alpha1.ReasonHealthy,
	plan.Going:    v1alpha1.ReasonSyncing,
	plan.Waiting:  v1alpha1.ReasonWaiting,
	plan.Degraded: v1alpha1.ReasonDegraded,
	plan.Failed:   v1alpha1.ReasonFailed,
}

// stages has the reasons for the stages of an environment's life in which no pass is made.
var stages = map[Stage]string{
	Queued:   v1alpha1.ReasonQueued,
	Held:     v1alpha1.ReasonWaiting,
	Expiring: v1alpha1.ReasonExpiring,
	Expired:  v1alpha1.ReasonExpired,
	Deleting: v1alpha1.ReasonDeleting,
}

// environmentStatus returns the status of an Environment after it was reconciled.
func environmentStatus(env *v1alpha1.Environment, standing Standing, now time.Time) v1alpha1.EnvironmentStatus {
	s := *env.Status.DeepCopy()
	s.ObservedGeneration = env.Generation
	s.Conditions = conditions(s.Conditions, environmentConditions(env, standing), now)
	if t, ok := standing.tornDown(); ok {
		s.HandledRetry = cmp.Or(t.Retry, s.HandledRetry)
		s.HandledConfirmation = cmp.Or(t.Confirmation, s.HandledConfirmation)
		if standing.Life.Stage == Deleting {
			s.Unhealthy, s.BlockedDeletions = unhealthy(env, t.Left), nil
		}
	}
	if standing.Life.Stage != Deleting {
		alive(&s, env, standing.Life)
	}
	if j, ok := standing.judged(); ok {
		judged(&s, env, j, now)
		a := attempt{Judged: j, fetched: standing.Fetched}
		a.by, s.LastAct = requester(env, j)
		s.Sync = progress(env, s.History, a, now)
		s.History = a.credit(env.Status, s.History, s.Sync)
		s.Link = standing.Link
	}
	return s
}

// judged records what a pass found.
func judged(s *v1alpha1.EnvironmentStatus, env *v1alpha1.Environment, j reconciler.Judged, now time.Time) {
	if j.CommitState != reconciler.Rendering {
		s.HandledRequest = env.Annotations[v1alpha1.AnnotationRequested]
		s.HandledRetry = env.Annotations[v1alpha1.AnnotationRetry]
		s.HandledConfirmation = cmp.Or(j.Confirmation, s.HandledConfirmation)
	}
	commit(s, j)
	s.AppliedCommit = cmp.Or(j.AppliedCommit, s.AppliedCommit)
	s.HealthyCommit = cmp.Or(j.HealthyCommit, s.HealthyCommit)
	if o := j.Objects; o != nil {
		s.Objects = &v1alpha1.ObjectCount{Total: int32(o.Total), Healthy: int32(o.Healthy)}
		s.Unhealthy = unhealthy(env, o.Unhealthy)
		s.Warnings = warnings(o.Warnings)
		s.BlockedDeletions = blockedDeletions(env, *o)
		s.Jobs = jobs(*o)
	}
	s.History = history(env, j, now)
}

// commit records which commit the status is about. It drops details of any other commit.
func commit(s *v1alpha1.EnvironmentStatus, j reconciler.Judged) {
	short := j.Commit[:min(shortCommit, len(j.Commit))]
	if short != s.ShortCommit {
		s.ShortCommit, s.CommitTime, s.CommitAuthor, s.CommitSubject = short, nil, "", ""
	}
	if !j.About.Time.IsZero() {
		s.CommitTime, s.CommitAuthor, s.CommitSubject = timeOf(j.About.Time), j.About.Author, j.About.Subject
	}
}

// alive records where the environment is in its life. An expired environment has no objects any more.
func alive(s *v1alpha1.EnvironmentStatus, env *v1alpha1.Environment, l Life) {
	if l.Activity != "" {
		s.Activity, s.LastActivityTime = l.Activity, timeOf(l.LastActivity)
	}
	s.ExpiresAt = nil
	if !l.ExpiresAt.IsZero() {
		s.ExpiresAt = timeOf(l.ExpiresAt)
	}
	if l.Stage == Expired {
		s.AppliedCommit, s.HealthyCommit = "", ""
		s.HandledConfirmation = env.Annotations[v1alpha1.AnnotationConfirmed]
		s.Objects, s.Unhealthy, s.BlockedDeletions, s.Jobs, s.Sync = nil, nil, nil, nil, nil
	}
}

func environmentConditions(env *v1alpha1.Environment, s Standing) []metav1.Condition {
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: stages[s.Life.Stage], Message: s.Life.Message}
	also := ""
	if t, ok := s.tornDown(); ok {
		ready.Message = t.Message
		switch {
		case t.State == plan.Failed:
			also = v1alpha1.ConditionStalled
		case s.Life.Stage == Deleting:
			also = v1alpha1.ConditionReconciling
		}
	}
	if j, ok := s.judged(); ok {
		ready.Status, ready.Reason, ready.Message, also = readiness(env, j, s.Life)
	}
	ready.Message = clip(ready.Message, maxMessage)
	ready.ObservedGeneration = env.Generation
	list := []metav1.Condition{ready}
	if also != "" {
		list = append(list, metav1.Condition{Type: also, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message, ObservedGeneration: env.Generation})
	}
	for _, more := range []metav1.Condition{
		{Type: v1alpha1.ConditionExpiresSoon, Message: s.Life.ExpiresSoon},
		{Type: v1alpha1.ConditionMoved, Message: s.Life.Moved},
		{Type: v1alpha1.ConditionBranchGone, Message: s.Life.BranchGone},
	} {
		if more.Message != "" {
			more.Status, more.Reason, more.ObservedGeneration = metav1.ConditionTrue, more.Type, env.Generation
			list = append(list, more)
		}
	}
	return list
}

// readiness returns the Ready condition of an environment that a pass judged, and the type of the condition that
// accompanies it, if any.
func readiness(env *v1alpha1.Environment, j reconciler.Judged, l Life) (status metav1.ConditionStatus, reason, message, also string) {
	status, reason, message = metav1.ConditionFalse, reasons[j.State], j.Message
	switch {
	case env.Spec.Suspend:
		reason, message = v1alpha1.ReasonSuspended, "left as it is while spec.suspend is true"+separated(j.Message)
	case j.State == plan.Settled && j.CommitState == reconciler.RolledBack:
		reason, also = v1alpha1.ReasonRolledBack, v1alpha1.ConditionStalled
	case j.State == plan.Settled:
		status, message = metav1.ConditionTrue, healthyMessage(env.Name, j, l)
	case j.State == plan.Going, j.State == plan.Waiting:
		also = v1alpha1.ConditionReconciling
	case j.State == plan.Failed:
		also = v1alpha1.ConditionStalled
	}
	return status, reason, message, also
}

func separated(message string) string {
	if message == "" {
		return ""
	}
	return "; " + message
}

// healthyMessage returns the message with the warnings and with what still changes although everything had settled.
func healthyMessage(name string, j reconciler.Judged, l Life) string {
	message := cmp.Or(l.BranchGone, "everything is as Git says")
	if j.Objects == nil {
		return message
	}
	moving := slices.DeleteFunc(slices.Clone(j.Objects.Unhealthy), func(p reconciler.Problem) bool { return p.Beside }) // the warnings name those
	if len(moving) > 0 {
		worst := moving[0]
		message += fmt.Sprintf("; of %d objects, %d settle again: %s: %s", j.Objects.Total, len(moving), worst.Key.Short(), worst.Health.Message)
	}
	shown := j.Objects.Warnings[:min(len(j.Objects.Warnings), maxInMessage)]
	for _, w := range shown {
		message += "; " + w
	}
	if more := len(j.Objects.Warnings) - len(shown); more > 0 {
		message += fmt.Sprintf("; warnings more: %d, see berth describe %s", more, name)
	}
	return message
}

// maxInMessage is how many warnings the message of a healthy environment names.
const maxInMessage = 3

func warnings(all []string) []string {
	var list []string
	for _, w := range all[:min(len(all), maxWarnings)] {
		list = append(list, clip(w, maxMessage))
	}
	return list
}

// clip cuts a text to a number of bytes, between two characters. The API server would replace half a character, and
// would then store a different text.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const dots = "..."
	most -= len(dots)
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + dots
}

// conditions returns the new conditions. Each has the time at which its status last changed.
func conditions(before, after []metav1.Condition, now time.Time) []metav1.Condition {
	merged := make([]metav1.Condition, 0, len(after))
	for _, c := range after {
		c.Message, c.LastTransitionTime = clip(c.Message, maxCondition), *timeOf(now)
		if old := meta.FindStatusCondition(before, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		merged = append(merged, c)
	}
	return merged
}

// timeOf truncates a time to the precision that the API stores.
func timeOf(t time.Time) *metav1.Time { return &metav1.Time{Time: t.UTC().Truncate(time.Second)} }

func unhealthy(env *v1alpha1.Environment, problems []reconciler.Problem) []v1alpha1.UnhealthyObject {
	var list []v1alpha1.UnhealthyObject
	for _, p := range problems[:min(maxUnhealthy, len(problems))] {
		u := v1alpha1.UnhealthyObject{Kind: p.Key.Kind, Namespace: p.Key.Namespace, Name: p.Key.Name, Health: string(p.Health.Status), Message: clip(p.Health.Message, maxMessage)}
		if u.Namespace == env.Spec.Namespace {
			u.Namespace = ""
		}
		list = append(list, u)
	}
	return list
}

func blockedDeletions(env *v1alpha1.Environment, o reconciler.Objects) *v1alpha1.BlockedDeletions {
	if len(o.Guarded) == 0 {
		return nil
	}
	b := &v1alpha1.BlockedDeletions{Total: int32(len(o.Guarded)), Digest: plan.Names(o.Guarded)}
	for _, key := range o.Guarded[:min(maxBlocked, len(o.Guarded))] {
		if key.Namespace == env.Spec.Namespace {
			key.Namespace = ""
		}
		b.Objects = append(b.Objects, key.String())
	}
	return b
}

var outcomes = map[plan.JobState]string{
	plan.JobIntended: "Running", plan.JobCreated: "Running", plan.JobSucceeded: "Complete", plan.JobFailed: "Failed",
}

func jobs(o reconciler.Objects) []v1alpha1.JobStatus {
	var list []v1alpha1.JobStatus
	for _, j := range o.Jobs {
		s := v1alpha1.JobStatus{Name: j.Key.Name, Outcome: outcomes[j.State]}
		if !j.FinishedAt.IsZero() {
			s.FinishedAt = timeOf(j.FinishedAt)
		}
		list = append(list, s)
	}
	for _, key := range o.LastJobs {
		list = append(list, v1alpha1.JobStatus{Name: key.Name, Outcome: v1alpha1.JobOnRemoval})
	}
	return list
}
