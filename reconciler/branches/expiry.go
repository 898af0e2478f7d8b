package branches

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// Expiry is when an unused Environment expires.
type Expiry struct {
	// At is when its namespace is deleted if nothing happens; zero: never.
	At time.Time
	// Soon is the warning that users see; empty while there is time.
	Soon string
	// Due reports whether the Environment is to expire now.
	Due bool
	// Next is when any of these fields changes without an event; zero: never.
	Next time.Time
}

// warning returns how long before the expiry the warning begins: a quarter of the time, at most a day.
func warning(after time.Duration) time.Duration { return min(after/4, 24*time.Hour) }

// Expire decides whether an Environment expires after its last activity. None expires before its warning has been shown for
// the full time, whatever the clock says.
func Expire(env *v1alpha1.Environment, after time.Duration, now time.Time) Expiry {
	if after == 0 || env.Annotations[v1alpha1.AnnotationKeep] == "true" || env.Spec.Suspend {
		return Expiry{}
	}
	e, warn := Expiry{At: LastActivity(env, now).Add(after)}, warning(after)
	if begins := e.At.Add(-warn); now.Before(begins) {
		e.Next = begins
		return e
	}
	if told := toldAt(env, now).Add(warn); told.After(e.At) {
		e.At = told
	}
	if e.Due = !now.Before(e.At); !e.Due {
		e.Soon = fmt.Sprintf("the namespace %s will be deleted at %s because its branch is unused; to keep it, push, or: kubectl annotate env -n %s %s %s=true",
			env.Spec.Namespace, e.At.UTC().Format(time.RFC3339), env.Namespace, env.Name, v1alpha1.AnnotationKeep)
		e.Next = e.At
	}
	return e
}

// toldAt returns since when the status shows the warning; zero if it does not.
func toldAt(env *v1alpha1.Environment, now time.Time) time.Time {
	told := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionExpiresSoon)
	switch {
	case IsReason(env, v1alpha1.ReasonExpiring), IsReason(env, v1alpha1.ReasonExpired):
		return time.Time{}
	case told == nil:
		return now.Truncate(time.Second)
	}
	return told.LastTransitionTime.Time
}

// Overdue returns the Environments of a repository that are due to expire and still stand.
func Overdue(have []v1alpha1.Environment, repo *v1alpha1.Repository, now time.Time) (list []*v1alpha1.Environment) {
	for i := range have {
		env := &have[i]
		if !env.DeletionTimestamp.IsZero() || !Stands(env) {
			continue
		}
		if entry := naming.EntryOf(repo, env); entry != nil && entry.ExpireAfter != nil && Expire(env, entry.ExpireAfter.Duration, now).Due {
			list = append(list, env)
		}
	}
	return list
}

// Activity returns a text that changes with each activity: a push or a user's request.
func Activity(env *v1alpha1.Environment) string {
	parts := []string{env.Spec.Commit, env.Spec.Pin, fmt.Sprint(env.Spec.Suspend)}
	for _, request := range []string{v1alpha1.AnnotationRequested, v1alpha1.AnnotationRetry, v1alpha1.AnnotationKeep} {
		parts = append(parts, env.Annotations[request])
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// LastActivity returns the time of the last activity: now, if there is one that the status does not have yet.
func LastActivity(env *v1alpha1.Environment, now time.Time) time.Time {
	if env.Status.LastActivityTime == nil || env.Status.Activity != Activity(env) {
		return now
	}
	return env.Status.LastActivityTime.Time
}
