package repositories

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/source"
)

const (
	// hookPause is how long after a listing that a webhook brought about the next one may follow: a burst of
	// them is one listing at once, and one when the burst is a second old.
	hookPause = time.Second
	// hookRetries is how often a listing that a webhook brought about is tried again when the server does not answer:
	// after a second, and then after twice as long each time, for about half a minute. The next poll may be far away.
	hookRetries = 5
	// hookGrace is how long a webhook may come after the poll that has already found what it tells of.
	hookGrace = time.Minute
)

// HookRequest begins the value of the annotation berth.dev/requested where a replica that does not lead
// passes on a webhook.
const HookRequest = "hook-"

// hooks is what webhooks told of one Repository, and whether they tell of all its changes. The zero value
// has heard nothing.
type hooks struct {
	mu      sync.Mutex
	arrived time.Time // the newest that no listing has followed yet
	taken   time.Time // the newest that a listing has followed
	rest    time.Time // until when no other webhook brings a listing about
	// failures counts the listings in a row that failed, unlisted says that no listing has shown what a webhook told of.
	failures int
	unlisted bool
	// told is the newest that told of a change.
	told time.Time
	// silent is the change that a poll found, and since when its webhook is waited for.
	silent      string
	silentSince time.Time
	warned      bool
}

// hear notes a webhook.
func (h *hooks) hear(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrived = now
}

// take says whether the branches are to be listed because of a webhook. It is asked before the listing
// begins, for what arrives later may tell of what the listing did not see.
func (h *hooks) take(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.arrived.IsZero() || now.Before(h.rest) {
		return false
	}
	h.taken, h.arrived, h.rest = h.arrived, time.Time{}, now.Add(hookPause)
	return true
}

// failed notes that the server did not answer to the listing that a webhook brought about, and has it tried again.
func (h *hooks) failed(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unlisted = true
	if h.failures == hookRetries {
		h.failures = 0
		return
	}
	h.rest = now.Add(hookPause << h.failures)
	h.failures++
	if h.arrived.IsZero() {
		h.arrived = h.taken
	}
}

// takeRequest is take for a webhook that another replica passed on.
func (h *hooks) takeRequest(id string, now time.Time) bool {
	if !strings.HasPrefix(id, HookRequest) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken, h.rest = now, now.Add(hookPause)
	return true
}

// cause is why the branches were listed.
type cause int

const (
	byPoll cause = iota // or because a person asked, or the spec changed
	byHook
)

// found notes what a listing has found to be changed; change is empty if nothing is. A change that a poll
// found waits for its webhook only where webhooks have told of changes before.
func (h *hooks) found(change string, why cause, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	told := why == byHook || h.unlisted
	h.failures, h.unlisted = 0, false
	switch {
	case told && (change != "" || h.silent != ""):
		h.told, h.silent, h.warned = h.taken, "", false
	case why == byPoll && change != "" && h.silent == "" && !h.warned:
		h.silent, h.silentSince = change, now
	}
}

// missed returns the change that no webhook told of, once, until one tells of a change again.
func (h *hooks) missed(now time.Time) (change string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent == "" || now.Before(h.silentSince.Add(hookGrace)) {
		return ""
	}
	change, h.silent, h.warned = h.silent, "", true
	return change
}

// lastTold returns when a webhook last told of a change; zero if none has since this process began.
func (h *hooks) lastTold() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}

// next returns when there is something to do; zero: never.
func (h *hooks) next() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.arrived.IsZero():
		return h.rest
	case h.silent != "":
		return h.silentSince.Add(hookGrace)
	}
	return time.Time{}
}

// Hook has the branches of a Repository listed at once, or a second after the last webhook's listing. It
// does not wait for it.
func (r *Controller) Hook(name types.NamespacedName) {
	r.hooksOf(name.Name).hear(r.Now())
	r.inbox.Add(name)
}

func (r *Controller) hooksOf(repository string) *hooks {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.hooks[repository]
	if !ok {
		h = &hooks{}
		r.hooks[repository] = h
	}
	return h
}

// hooked reports whether a webhook is a reason to list now.
func (r *Controller) hooked(repository string) bool {
	return r.hooksOf(repository).take(r.Now())
}

// hookRequested reports whether a new request comes from a replica that does not lead, and that received a webhook.
func (r *Controller) hookRequested(repository, request string) bool {
	return r.hooksOf(repository).takeRequest(request, r.Now())
}

// compareHooks notes whether a webhook told of what a listing has found. The first listing is compared with
// nothing.
func (r *Controller) compareHooks(repo *v1alpha1.Repository, f *followed, heads map[string]string) {
	change := ""
	if f.listed {
		change = changeOf(repo, f.listing.Heads, heads)
	}
	h := r.hooksOf(repo.Name)
	h.found(change, f.cause, r.Now())
	f.told = h.lastTold()
}

// retryHook has the listing that a webhook brought about tried again, if it failed for what may pass.
func (r *Controller) retryHook(repo *v1alpha1.Repository, f *followed) {
	if f.cause == byHook && source.ReasonOf(f.trouble) == source.Unreachable {
		r.hooksOf(repo.Name).failed(r.Now())
	}
}

// missedHook warns of a change that no webhook told of, where webhooks are expected to, and returns when to
// look again; zero: never.
func (r *Controller) missedHook(repo *v1alpha1.Repository) time.Time {
	h := r.hooksOf(repo.Name)
	if change := h.missed(r.Now()); change != "" && repo.Spec.Webhook != nil && repo.Status.LastHookTime != nil {
		r.HookMissed(repo, change)
	}
	return h.next()
}

// changeOf says in a few words what is another head than before among the branches that have environments;
// empty if nothing is.
func changeOf(repo *v1alpha1.Repository, before, after map[string]string) string {
	if maps.Equal(before, after) {
		return ""
	}
	was, is := headsOf(repo, before), headsOf(repo, after)
	for branch, commit := range is {
		switch old, there := was[branch]; {
		case !there:
			return fmt.Sprintf("branch %s is new", branch)
		case old != commit:
			return fmt.Sprintf("branch %s moved to %.8s", branch, commit)
		}
	}
	for branch := range was {
		if _, there := is[branch]; !there {
			return fmt.Sprintf("branch %s is gone", branch)
		}
	}
	return ""
}

// headsOf leaves of all branches those that an entry matches.
func headsOf(repo *v1alpha1.Repository, heads map[string]string) map[string]string {
	matched := map[string]string{}
	for _, w := range branches.Want(repo, heads).List {
		matched[w.Spec.Branch] = w.Spec.Commit
	}
	return matched
}
