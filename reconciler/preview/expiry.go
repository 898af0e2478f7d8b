package preview

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// expiry is how far an Environment is from being taken down because nobody needs it.
type expiry struct {
	// at is when its namespace goes if nothing happens; zero: never.
	at time.Time
	// soon is for people, and empty while there is time.
	soon string
	// due says that the time has come.
	due bool
	// next is when any of this changes by itself; zero: never.
	next time.Time
}

// warning is how long before the end there is a warning: a quarter of the time, at most a day.
func warning(after time.Duration) time.Duration { return min(after/4, 24*time.Hour) }

// expire decides whether an Environment on which nothing was done since the last activity is to go. None
// goes without having been told of for as long as a warning is given, whatever the clock says.
func expire(env *v1alpha1.Environment, after time.Duration, now time.Time) expiry {
	if after == 0 || env.Annotations[v1alpha1.AnnotationKeep] == "true" || env.Spec.Suspend {
		return expiry{}
	}
	e, warn := expiry{at: lastActivity(env, now).Add(after)}, warning(after)
	if begins := e.at.Add(-warn); now.Before(begins) {
		e.next = begins
		return e
	}
	if told := toldAt(env, now).Add(warn); told.After(e.at) {
		e.at = told
	}
	if e.due = !now.Before(e.at); !e.due {
		e.soon = fmt.Sprintf("the namespace %s is deleted at %s, for nobody has touched the branch; a push, or kubectl annotate env -n %s %s %s=true, keeps it",
			env.Spec.Namespace, e.at.UTC().Format(time.RFC3339), env.Namespace, env.Name, v1alpha1.AnnotationKeep)
		e.next = e.at
	}
	return e
}

// toldAt returns since when people are warned; zero of what is past that.
func toldAt(env *v1alpha1.Environment, now time.Time) time.Time {
	told := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionExpiresSoon)
	switch {
	case isReason(env, v1alpha1.ReasonExpiring), isReason(env, v1alpha1.ReasonExpired):
		return time.Time{}
	case told == nil:
		return now.Truncate(time.Second)
	}
	return told.LastTransitionTime.Time
}

// over returns the Environments of a repository that are to expire and stand nevertheless.
func over(have []v1alpha1.Environment, repo *v1alpha1.Repository, now time.Time) (list []*v1alpha1.Environment) {
	for i := range have {
		env := &have[i]
		if !env.DeletionTimestamp.IsZero() || !stands(env) {
			continue
		}
		if entry := naming.EntryOf(repo, env); entry != nil && entry.ExpireAfter != nil && expire(env, entry.ExpireAfter.Duration, now).due {
			list = append(list, env)
		}
	}
	return list
}

// lookAgain is when it is decided anew about what the brake keeps from expiring.
const lookAgain = 10 * time.Minute

// expires says whether the time of an Environment is over. It stays as it is while too many would go at
// once: a clock that jumps makes all look as if nobody had touched them.
func (e *Environments) expires(ctx context.Context, env *v1alpha1.Environment, s *settings) (bool, error) {
	begun := isReason(env, v1alpha1.ReasonExpiring) || !stands(env)
	if !s.expiry.due || begun || e.Brake.released(env) || confirmedBy(env) {
		return s.expiry.due, nil
	}
	have, err := e.ofRepository(ctx, client.ObjectKeyFromObject(env), env.Spec.Repository)
	now := e.Now()
	if err != nil || !tooMany(leaving(have, now)+len(over(have, s.repository, now)), standing(have, now)) {
		return true, err
	}
	s.life.ExpiresSoon = fmt.Sprintf("nobody has touched the branch, but too many environments would expire at once; if that is meant: berth confirm --repository %s, or for this one: berth confirm %s; a push keeps it",
		env.Spec.Repository, env.Name)
	s.expiry.next = now.Add(lookAgain)
	return false, nil
}

// activity stands for all that counts as activity: when it changes, somebody has pushed or asked.
func activity(env *v1alpha1.Environment) string {
	parts := []string{env.Spec.Commit, env.Spec.Pin, fmt.Sprint(env.Spec.Suspend)}
	for _, request := range []string{v1alpha1.AnnotationRequested, v1alpha1.AnnotationRetry, v1alpha1.AnnotationKeep} {
		parts = append(parts, env.Annotations[request])
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// lastActivity returns when somebody was last active: now, if something is there that was not.
func lastActivity(env *v1alpha1.Environment, now time.Time) time.Time {
	if env.Status.LastActivityTime == nil || env.Status.Activity != activity(env) {
		return now
	}
	return env.Status.LastActivityTime.Time
}
