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

// How much a status holds.
const (
	maxUnhealthy = 20
	maxWarnings  = 20
	maxHistory   = 10
	maxMessage   = 1024
	maxCondition = 16 << 10 // of a Repository, which tells of many branches at once; 32 KiB is the API's limit
	shortCommit  = 8
)

// reasons name the states as people read them.
var reasons = map[plan.State]string{
	plan.Settled:  v1alpha1.ReasonHealthy,
	plan.Going:    v1alpha1.ReasonSyncing,
	plan.Waiting:  v1alpha1.ReasonWaiting,
	plan.Degraded: v1alpha1.ReasonDegraded,
	plan.Failed:   v1alpha1.ReasonFailed,
}

// stages name the stages of an environment's life in which no pass is made.
var stages = map[reconciler.Stage]string{
	reconciler.Queued:   v1alpha1.ReasonQueued,
	reconciler.Held:     v1alpha1.ReasonWaiting,
	reconciler.Expiring: v1alpha1.ReasonExpiring,
	reconciler.Expired:  v1alpha1.ReasonExpired,
}

// environmentStatus is what there is to say about an Environment after a pass.
func environmentStatus(env *v1alpha1.Environment, o reconciler.Outcome, now time.Time) v1alpha1.EnvironmentStatus {
	s := *env.Status.DeepCopy()
	s.ObservedGeneration = env.Generation
	s.Conditions = conditions(s.Conditions, environmentConditions(env, o), now)
	if goes(o) {
		s.HandledRetry = cmp.Or(o.Retry, s.HandledRetry)
		s.HandledConfirmation = cmp.Or(o.Confirmation, s.HandledConfirmation)
	}
	if o.Deleting {
		s.Unhealthy = unhealthy(env, o)
		return s
	}
	alive(&s, env, o.Life)
	if o.Life.Stage != reconciler.Living {
		return s
	}
	if !o.Rendering {
		s.HandledRequest = env.Annotations[v1alpha1.AnnotationRequested]
		s.HandledRetry = env.Annotations[v1alpha1.AnnotationRetry]
		s.HandledConfirmation = cmp.Or(o.Confirmation, s.HandledConfirmation)
	}
	s.Link = o.Link
	commit(&s, o)
	s.AppliedCommit = cmp.Or(o.AppliedCommit, s.AppliedCommit)
	s.HealthyCommit = cmp.Or(o.HealthyCommit, s.HealthyCommit)
	if o.Total > 0 || !o.Rejected {
		s.Objects = &v1alpha1.ObjectCount{Total: int32(o.Total), Healthy: int32(o.Healthy)}
		s.Unhealthy = unhealthy(env, o)
		s.Warnings = warnings(o)
		s.Jobs = jobs(o)
	}
	s.History = history(env, o, now)
	return s
}

// commit writes down which commit the status is about. What is known of another commit is not kept.
func commit(s *v1alpha1.EnvironmentStatus, o reconciler.Outcome) {
	short := o.Commit[:min(shortCommit, len(o.Commit))]
	if short != s.ShortCommit {
		s.ShortCommit, s.CommitTime, s.CommitAuthor, s.CommitSubject = short, nil, "", ""
	}
	if !o.About.Time.IsZero() {
		s.CommitTime, s.CommitAuthor, s.CommitSubject = timeOf(o.About.Time), o.About.Author, o.About.Subject
	}
}

// alive writes down what there is to say of an environment's life. Of one that has expired nothing is left.
func alive(s *v1alpha1.EnvironmentStatus, env *v1alpha1.Environment, l reconciler.Life) {
	if l.Activity != "" {
		s.Activity, s.LastActivityTime = l.Activity, timeOf(l.LastActivity)
	}
	s.ExpiresAt = nil
	if !l.ExpiresAt.IsZero() {
		s.ExpiresAt = timeOf(l.ExpiresAt)
	}
	if l.Stage == reconciler.Expired {
		s.AppliedCommit, s.HealthyCommit = "", ""
		s.HandledConfirmation = env.Annotations[v1alpha1.AnnotationConfirmed]
		s.Objects, s.Unhealthy, s.Jobs = nil, nil, nil
	}
}

func environmentConditions(env *v1alpha1.Environment, o reconciler.Outcome) []metav1.Condition {
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reasons[o.State], Message: clip(o.Message, maxMessage)}
	also := ""
	switch {
	case o.Deleting && o.State == plan.Failed:
		ready.Reason, also = v1alpha1.ReasonDeleting, v1alpha1.ConditionStalled
	case o.Deleting:
		ready.Reason, also = v1alpha1.ReasonDeleting, v1alpha1.ConditionReconciling
	case o.Life.Stage != reconciler.Living:
		ready.Reason = stages[o.Life.Stage]
	case o.Suspended:
		ready.Reason = v1alpha1.ReasonSuspended
		ready.Message = clip("left as it is while spec.suspend is true"+separated(o.Message), maxMessage)
	case o.State == plan.Settled && o.RolledBack:
		ready.Reason, also = v1alpha1.ReasonRolledBack, v1alpha1.ConditionStalled
	case o.State == plan.Settled:
		ready.Status, ready.Message = metav1.ConditionTrue, clip(healthyMessage(o), maxMessage)
	case o.State == plan.Going, o.State == plan.Waiting:
		also = v1alpha1.ConditionReconciling
	case o.State == plan.Failed:
		also = v1alpha1.ConditionStalled
	}
	ready.ObservedGeneration = env.Generation
	list := []metav1.Condition{ready}
	if also != "" {
		list = append(list, metav1.Condition{Type: also, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message, ObservedGeneration: env.Generation})
	}
	for _, more := range []metav1.Condition{
		{Type: v1alpha1.ConditionExpiresSoon, Message: o.Life.ExpiresSoon},
		{Type: v1alpha1.ConditionMoved, Message: o.Life.Moved},
		{Type: v1alpha1.ConditionBranchGone, Message: o.Life.BranchGone},
	} {
		if more.Message != "" {
			more.Status, more.Reason, more.ObservedGeneration = metav1.ConditionTrue, more.Type, env.Generation
			list = append(list, more)
		}
	}
	return list
}

func separated(message string) string {
	if message == "" {
		return ""
	}
	return "; " + message
}

// healthyMessage tells the warnings, and what is on its way although everything had settled.
func healthyMessage(o reconciler.Outcome) string {
	message := "everything is as Git says"
	if o.Life.BranchGone != "" {
		message = o.Life.BranchGone
	}
	moving := slices.DeleteFunc(slices.Clone(o.Unhealthy), func(p reconciler.Problem) bool { return p.Beside }) // warnings name those
	if len(moving) > 0 {
		worst := moving[0]
		message += fmt.Sprintf("; of %d objects, %d settle again: %s: %s", o.Total, len(moving), worst.Key.Short(), worst.Health.Message)
	}
	shown := o.Warnings[:min(len(o.Warnings), maxInMessage)]
	for _, w := range shown {
		message += "; " + w
	}
	if more := len(o.Warnings) - len(shown); more > 0 {
		message += fmt.Sprintf("; warnings more: %d, see berth describe %s", more, o.Environment)
	}
	return message
}

// maxInMessage is how many warnings the message of a healthy environment names.
const maxInMessage = 3

func warnings(o reconciler.Outcome) []string {
	var list []string
	for _, w := range o.Warnings[:min(len(o.Warnings), maxWarnings)] {
		list = append(list, clip(w, maxMessage))
	}
	return list
}

// clip cuts a text to a number of bytes, between two characters: the API server would replace half of one, and
// what it stores would not be what was meant.
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

// conditions returns the new conditions, with the times at which each last changed its status.
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

// timeOf cuts a time to what the API stores.
func timeOf(t time.Time) *metav1.Time { return &metav1.Time{Time: t.UTC().Truncate(time.Second)} }

func unhealthy(env *v1alpha1.Environment, o reconciler.Outcome) []v1alpha1.UnhealthyObject {
	var list []v1alpha1.UnhealthyObject
	for _, p := range o.Unhealthy[:min(maxUnhealthy, len(o.Unhealthy))] {
		u := v1alpha1.UnhealthyObject{Kind: p.Key.Kind, Namespace: p.Key.Namespace, Name: p.Key.Name, Health: string(p.Health.Status), Message: clip(p.Health.Message, maxMessage)}
		if u.Namespace == env.Spec.Namespace {
			u.Namespace = ""
		}
		list = append(list, u)
	}
	return list
}

var outcomes = map[plan.JobState]string{
	plan.JobIntended: "Running", plan.JobCreated: "Running", plan.JobSucceeded: "Complete", plan.JobFailed: "Failed",
}

func jobs(o reconciler.Outcome) []v1alpha1.JobStatus {
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
