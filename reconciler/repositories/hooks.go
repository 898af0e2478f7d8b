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
	// hookPause is the minimum time between two listings that webhooks trigger. A burst of webhooks triggers one listing at
	// once, and one when the burst is a second old.
	hookPause = time.Second
	// hookRetries is how often a listing that a webhook triggered is retried if the server does not answer: after a second,
	// then with doubled delays, for about half a minute. The next poll may be far away.
	hookRetries = 5
	// hookGrace is how long a webhook may arrive after the poll that already found its change.
	hookGrace = time.Minute
)

// HookRequest is the prefix of the annotation berth.dev/requested if a standby replica forwards a webhook.
const HookRequest = "hook-"

// hooks tracks the webhooks of one Repository, and whether one arrives for each change. The zero value has received none.
type hooks struct {
	mu      sync.Mutex
	arrived time.Time // the newest without a listing after it
	taken   time.Time // the newest with a listing after it
	rest    time.Time // until when no other webhook triggers a listing
	// failures counts the listings in a row that failed; unlisted is set until a listing has shown what a webhook announced.
	failures int
	unlisted bool
	// told is the newest webhook that announced a change.
	told time.Time
	// silent is the change that a poll found without a webhook, and since when.
	silent      string
	silentSince time.Time
	warned      bool
}

// hear records a webhook.
func (h *hooks) hear(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrived = now
}

// take reports whether a webhook requires a listing. It is called before the listing starts, because a webhook that arrives
// later may announce what the listing missed.
func (h *hooks) take(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.arrived.IsZero() || now.Before(h.rest) {
		return false
	}
	h.taken, h.arrived, h.rest = h.arrived, time.Time{}, now.Add(hookPause)
	return true
}

// failed records that a listing that a webhook triggered failed, and schedules the next try.
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

// takeRequest is like take. The webhook was forwarded by another replica.
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
	byPoll cause = iota // or because a user asked, or the spec changed
	byHook
)

// found records the change that a listing found; empty: none. A change that a poll found expects a webhook only if webhooks
// have announced changes before.
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

// missed returns the change that no webhook announced. It returns it once, until a webhook announces a change again.
func (h *hooks) missed(now time.Time) (change string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent == "" || now.Before(h.silentSince.Add(hookGrace)) {
		return ""
	}
	change, h.silent, h.warned = h.silent, "", true
	return change
}

// lastTold returns when a webhook last announced a change; zero if none has since the process started.
func (h *hooks) lastTold() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}

// next returns when the next action is due; zero: never.
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

// Hook triggers a listing of a Repository's branches, at once or a second after the last one that a webhook triggered. It
// does not block.
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

// hooked reports whether a webhook requires a listing now.
func (r *Controller) hooked(repository string) bool {
	return r.hooksOf(repository).take(r.Now())
}

// hookRequested reports whether a new request is a webhook that a standby replica forwarded.
func (r *Controller) hookRequested(repository, request string) bool {
	return r.hooksOf(repository).takeRequest(request, r.Now())
}

// compareHooks records whether a webhook announced what a listing found. The first listing has nothing to compare with.
func (r *Controller) compareHooks(repo *v1alpha1.Repository, f *followed, heads map[string]string) {
	change := ""
	if f.listed {
		change = changeOf(repo, f.listing.Heads, heads)
	}
	h := r.hooksOf(repo.Name)
	h.found(change, f.cause, r.Now())
	f.told = h.lastTold()
}

// retryHook schedules another try for a listing that a webhook triggered, if the failure may be transient.
func (r *Controller) retryHook(repo *v1alpha1.Repository, f *followed) {
	if f.cause == byHook && source.ReasonOf(f.trouble) == source.Unreachable {
		r.hooksOf(repo.Name).failed(r.Now())
	}
}

// missedHook warns of a change without a webhook if webhooks have announced changes before. It returns when to check again;
// zero: never.
func (r *Controller) missedHook(repo *v1alpha1.Repository) time.Time {
	h := r.hooksOf(repo.Name)
	if change := h.missed(r.Now()); change != "" && repo.Spec.Webhook != nil && repo.Status.LastHookTime != nil {
		r.HookMissed(repo, change)
	}
	return h.next()
}

// changeOf describes the first changed head among the branches with environments; empty if there is none.
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

// headsOf returns the heads of the branches that an entry matches.
func headsOf(repo *v1alpha1.Repository, heads map[string]string) map[string]string {
	matched := map[string]string{}
	for _, w := range branches.Want(repo, heads).List {
		matched[w.Spec.Branch] = w.Spec.Commit
	}
	return matched
}

// ReportAgain requeues a Repository whose condition changed outside the controller.
func (r *Controller) ReportAgain(name types.NamespacedName) { r.inbox.Add(name) }
