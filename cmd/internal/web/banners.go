package web

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// connection returns the banner of a cluster that does not answer any more. What is shown is then old.
func (s *Server) connection() []banner {
	err := s.board.environments.trouble()
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err) && s.MayRead == nil:
		return []banner{{Tone: toneBad, Title: "You are no longer allowed to read environments", Text: s.Explain(err).Error()}}
	}
	return []banner{{Tone: toneBad, Title: "The cluster cannot be reached. This page shows what it last said", Text: s.Explain(err).Error()}}
}

// banners returns what is wrong with Repositories.
func (s *Server) banners(ctx context.Context, repos map[string]*v1alpha1.Repository, err error) []banner {
	if err != nil {
		return []banner{{Tone: toneIdle, Title: "Repositories are not shown", Text: s.Explain(err).Error()}}
	}
	var all []banner
	for _, name := range slices.Sorted(maps.Keys(repos)) {
		all = append(all, bannersOf(repos[name])...)
		all = append(all, noted(repos[name])...)
		all = append(all, unreported(repos[name])...)
	}
	return append(all, s.missed(ctx)...)
}

func bannersOf(repo *v1alpha1.Repository) []banner {
	held := heldOf(repo)
	ready := inspect.Ready(repo.Status.Conditions)
	switch {
	case len(held) > 0:
		return []banner{{
			Tone: toneWarn, Title: repo.Name + ": deletions are blocked until a person confirms them", Text: ready.Message,
			Items: environmentsOf(held), Button: &button{Title: "Confirm deletions", Path: "/repo/" + url.PathEscape(repo.Name) + "/confirm", Dangerous: true},
		}}
	case ready.Status != metav1.ConditionFalse, ready.Reason == v1alpha1.ReasonFetching:
		return nil
	}
	return []banner{{Tone: cmp.Or(repoTones[ready.Reason], toneBad), Title: repo.Name + ": " + ready.Reason, Text: ready.Message}}
}

// notes are the conditions that a Repository has only while something is wrong, and what that means.
var notes = []struct {
	condition, title string
	tone             tone
}{
	{v1alpha1.ConditionClusterUnavailable, "a cluster cannot be used", toneBad},
	{v1alpha1.ConditionClusterAccessExpires, "the access to a cluster ends soon", toneWarn},
	{v1alpha1.ConditionBranchesLeftOut, "some branches have no environment", toneWarn},
}

// noted returns the banners of conditions that a Repository has beside Ready.
func noted(repo *v1alpha1.Repository) (banners []banner) {
	for _, n := range notes {
		if c := meta.FindStatusCondition(repo.Status.Conditions, n.condition); c != nil && c.Status == metav1.ConditionTrue {
			banners = append(banners, banner{Tone: n.tone, Title: repo.Name + ": " + n.title, Text: c.Message})
		}
	}
	return banners
}

// unreported returns the banner of a Repository whose forge does not accept what the agent reports.
func unreported(repo *v1alpha1.Repository) []banner {
	c := meta.FindStatusCondition(repo.Status.Conditions, v1alpha1.ConditionFeedback)
	if c == nil || c.Status != metav1.ConditionFalse {
		return nil
	}
	return []banner{{Tone: toneWarn, Title: repo.Name + ": merge requests do not show the current state: " + c.Reason, Text: c.Message}}
}

// heldOf returns the Environments whose deletion waits for a confirmation.
func heldOf(repo *v1alpha1.Repository) []string {
	return slices.DeleteFunc(slices.Clone(repo.Status.Held), func(name string) bool { return slices.Contains(repo.Status.Confirmed, name) })
}

// repoTones are those of reasons that need no hurry.
var repoTones = map[string]tone{v1alpha1.ReasonSuspended: toneIdle, v1alpha1.ReasonWaiting: toneWarn, v1alpha1.ReasonTooLarge: toneWarn, v1alpha1.ReasonEmpty: toneWarn}

// missedFor is how long a missed webhook stays on the page, and missedAge how old the answer about it may be.
const (
	missedFor = 24 * time.Hour
	missedAge = 30 * time.Second
)

// missed returns the banners of webhooks that did not arrive, of the last day. It asks at most every 30 seconds, also
// if the viewer may not read events, and then shows nothing.
func (s *Server) missed(ctx context.Context) []banner {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	if s.Now().Sub(s.hooks.at) < missedAge {
		return s.hooks.banners
	}
	list := &corev1.EventList{}
	about := client.MatchingFields{"involvedObject.kind": "Repository", "reason": "HookMissed"}
	err := s.Client.List(ctx, list, client.InNamespace(s.Namespace), about)
	if ctx.Err() != nil { // this browser is gone; the next one asks
		return nil
	}
	s.hooks.at = s.Now()
	if err != nil {
		return s.hooks.banners
	}
	s.hooks.banners = nil
	for n := range list.Items {
		e := &list.Items[n]
		if seen := inspect.LastSeen(e); s.Now().Sub(seen.Time) < missedFor {
			s.hooks.banners = append(s.hooks.banners, banner{Tone: toneWarn, Title: e.InvolvedObject.Name + ": a webhook did not arrive", Text: e.Message})
		}
	}
	return s.hooks.banners
}

// missedHooks are the last known banners of missed webhooks.
type missedHooks struct {
	mu      sync.Mutex
	at      time.Time
	banners []banner
}
