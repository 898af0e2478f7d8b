package report

import (
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
)

// The limits of what a client may state about an act, in bytes.
const (
	maxID   = 64
	maxUser = 128
)

// act is what a user did, as the client stated it.
type act struct {
	id string
	v1alpha1.Requester
}

// actOf returns the act in an Environment's annotation. There is none if the annotation does not fit the Environment,
// because another client has changed it since.
func actOf(env *v1alpha1.Environment) (act, bool) {
	id, rest, _ := strings.Cut(env.Annotations[v1alpha1.AnnotationRequestedBy], " ")
	action, user, _ := strings.Cut(rest, " ")
	a := act{id, v1alpha1.Requester{Action: action, User: clip(visible(user), maxUser)}}
	fits := map[string]bool{
		v1alpha1.ActionRetry:   env.Annotations[v1alpha1.AnnotationRetry] != "",
		v1alpha1.ActionConfirm: env.Annotations[v1alpha1.AnnotationConfirmed] != "",
		v1alpha1.ActionPin:     env.Spec.Pin != "",
		v1alpha1.ActionUnpin:   env.Spec.Pin == "",
		v1alpha1.ActionSuspend: env.Spec.Suspend,
		v1alpha1.ActionResume:  !env.Spec.Suspend,
	}
	return a, a.User != "" && id != "" && len(id) <= maxID && id == visible(id) && fits[action]
}

// visible removes the characters of a text that readers do not see: control characters, those that change the writing
// direction, and bytes that are no characters.
func visible(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, text))
}

// requester returns who requested the sync of the commit that was judged, nil if no user did, and what to remember about
// the act. An act counts once, for the commit that should run when the agent first sees it. While that commit waits, the
// act waits too; a push that replaces the commit ends it.
func requester(env *v1alpha1.Environment, j reconciler.Judged) (*act, *v1alpha1.LastAct) {
	a, ok := actOf(env)
	last := env.Status.LastAct
	switch {
	case !ok:
		return nil, last
	case env.Status.ObservedGeneration == 0: // restored from a backup, or re-created
		return nil, &v1alpha1.LastAct{ID: a.id}
	case last == nil || last.ID != a.id:
		last = &v1alpha1.LastAct{ID: a.id, Waits: j.Commit}
	case last.Waits == "" || last.Waits != j.Commit:
		return nil, &v1alpha1.LastAct{ID: a.id}
	}
	switch j.CommitState {
	case reconciler.Rendering, reconciler.Unavailable, reconciler.Awaiting, reconciler.Arrived:
		return nil, last
	case reconciler.RolledBack: // the agent chose what runs
		return nil, &v1alpha1.LastAct{ID: a.id}
	}
	return &a, &v1alpha1.LastAct{ID: a.id}
}

// began returns the act if acts of its kind begin syncs. A suspended environment has none.
func (a *act) began() *v1alpha1.Requester {
	if a == nil || a.Action == v1alpha1.ActionConfirm {
		return nil
	}
	return a.Requester.DeepCopy()
}

// confirmed returns the act if it confirmed deletions that blocked a sync.
func (a *act) confirmed(env *v1alpha1.Environment) *v1alpha1.Requester {
	ready := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady)
	if a == nil || a.Action != v1alpha1.ActionConfirm || ready == nil || !strings.Contains(ready.Message, "berth confirm "+env.Name) {
		return nil
	}
	return a.Requester.DeepCopy()
}

// credit adds to the syncs that have ended since the status before who requested them. now is the newest sync.
func (a attempt) credit(before v1alpha1.EnvironmentStatus, history []v1alpha1.SyncStatus, now *v1alpha1.SyncProgress) []v1alpha1.SyncStatus {
	history = slices.Clone(history)
	for i := range newOf(history, before.History) {
		history[i].RequestedBy = a.creditOf(history[i], before, now).DeepCopy()
	}
	return history
}

// newOf returns how many syncs of a history, newest first, were not in the one before. Two syncs may look alike: times are full
// seconds, and a commit can be healthy twice in one.
func newOf(history, before []v1alpha1.SyncStatus) int {
	known, added := slices.Clone(before), len(history)
	for i, s := range slices.Backward(history) {
		at := slices.IndexFunc(known, func(k v1alpha1.SyncStatus) bool {
			return k.Commit == s.Commit && k.Outcome == s.Outcome && k.Time.Equal(&s.Time)
		})
		if at >= 0 {
			known, added = slices.Delete(known, at, at+1), i
		}
	}
	return added
}

// creditOf returns who requested a sync that has just ended; nil if no user did.
func (a attempt) creditOf(ended v1alpha1.SyncStatus, before v1alpha1.EnvironmentStatus, now *v1alpha1.SyncProgress) *v1alpha1.Requester {
	switch {
	case ended.Outcome == superseded:
		if before.Sync != nil && before.Sync.Commit == ended.Commit {
			return before.Sync.RequestedBy
		}
	case a.CommitState == reconciler.Rejected:
		return a.by.began()
	case older(a.Judged, before.History):
		// The attempt is in the history already. Only an act that led back to it is new.
		if before.History[0].Commit == ended.Commit {
			return before.History[0].RequestedBy
		}
		return a.by.began()
	case a.continues(now):
		return now.RequestedBy
	}
	return nil
}
