package preview

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/api/v1alpha1"
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

// expire decides whether an Environment on which nothing was done since the last activity is to go.
func expire(env *v1alpha1.Environment, after time.Duration, last, now time.Time) expiry {
	if after == 0 || env.Annotations[v1alpha1.AnnotationKeep] == "true" || env.Spec.Suspend {
		return expiry{}
	}
	e := expiry{at: last.Add(after)}
	switch warn := e.at.Add(-warning(after)); {
	case !now.Before(e.at):
		e.due = true
	case !now.Before(warn):
		e.soon = fmt.Sprintf("the namespace %s is deleted at %s, for nobody has touched the branch; a push, or kubectl annotate env -n %s %s %s=true, keeps it",
			env.Spec.Namespace, e.at.UTC().Format(time.RFC3339), env.Namespace, env.Name, v1alpha1.AnnotationKeep)
		e.next = e.at
	default:
		e.next = warn
	}
	return e
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
