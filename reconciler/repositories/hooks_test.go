package repositories

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

// at returns apitest.Noon plus so many milliseconds.
func at(milliseconds int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(milliseconds) * time.Millisecond)
}

// A listing takes 20 ms in these tests, and starts as soon as one is due.
func TestAHundredWebhooksInASecondAreTwoListings(t *testing.T) {
	h, listings := &hooks{}, []int{}
	for ms := 0; ms <= 5000; ms += 10 {
		if ms < 1000 {
			h.hear(at(ms))
		}
		if ms%20 == 0 && h.take(at(ms)) {
			listings = append(listings, ms)
		}
	}
	if len(listings) != 2 || listings[0] != 0 || listings[1] != 1000 {
		t.Errorf("listed at %v ms, want at once and after a second", listings)
	}
}

func TestAWebhookDuringAListingBringsAnother(t *testing.T) {
	h := &hooks{}
	h.hear(at(0))
	if !h.take(at(0)) {
		t.Fatal("the first one is not followed at once")
	}
	h.hear(at(10))
	h.found("branch main moved", byHook, at(20))
	if got := h.next(); !got.Equal(at(1000)) || h.take(at(999)) || !h.take(at(1000)) {
		t.Errorf("the second one is followed at %v, want after a second", got)
	}
	if h.take(at(2000)) || !h.next().IsZero() {
		t.Error("a third listing has no reason")
	}
}

func TestAListingThatFailsIsTriedAgainSoonButNotForEver(t *testing.T) {
	h, listings := &hooks{}, []int{}
	h.hear(at(0))
	for ms := 0; ms <= 120_000; ms += 100 {
		if h.take(at(ms)) {
			listings = append(listings, ms/1000)
			h.failed(at(ms))
		}
	}
	if diff := cmp.Diff([]int{0, 1, 3, 7, 15, 31}, listings); diff != "" {
		t.Errorf("listed after so many seconds (-want +got):\n%s", diff)
	}
	if !h.next().IsZero() {
		t.Errorf("something is to be done at %v", h.next())
	}
	h.found("branch main moved", byPoll, at(130_000))
	if h.missed(at(1_000_000)) != "" || !h.lastTold().Equal(at(0)) {
		t.Error("the webhook counts as missed, though it came")
	}
	h.hear(at(200_000))
	if !h.take(at(200_000)) {
		t.Error("the next webhook is not followed at once")
	}
}

func TestAWebhookThatComesBetweenTriesIsOneOfThem(t *testing.T) {
	h := &hooks{}
	h.hear(at(0))
	h.take(at(0))
	h.failed(at(10))
	h.hear(at(20))
	if h.take(at(1000)) || !h.take(at(1010)) {
		t.Error("the server is not given a pause")
	}
	h.found("x", byHook, at(1020))
	if !h.next().IsZero() || !h.lastTold().Equal(at(20)) {
		t.Errorf("next at %v, told at %v", h.next(), h.lastTold())
	}
}

func TestChangesThatNoWebhookToldOf(t *testing.T) {
	const minute = 60_000
	for _, test := range []struct {
		name string
		tell func(h *hooks)
		// want is the change that is missed a minute later, told when a webhook last announced a change.
		want string
		told time.Time
	}{
		{"nothing happened", func(*hooks) {}, "", time.Time{}},
		{"found by a poll", func(h *hooks) { h.found("x", byPoll, at(0)) }, "x", time.Time{}},
		{"found by a poll, twice", func(h *hooks) { h.found("x", byPoll, at(0)); h.found("y", byPoll, at(10)) }, "x", time.Time{}},
		{"a poll that found nothing", func(h *hooks) { h.found("", byPoll, at(0)) }, "", time.Time{}},
		{"announced by a webhook", func(h *hooks) { h.hear(at(0)); h.take(at(5)); h.found("x", byHook, at(9)) }, "", at(0)},
		{"forwarded by another replica", func(h *hooks) { h.takeRequest("hook-1", at(5)); h.found("x", byHook, at(9)) }, "", at(5)},
		{"a webhook of something else", func(h *hooks) { h.hear(at(0)); h.take(at(5)); h.found("", byHook, at(9)) }, "", time.Time{}},
		{"a webhook after the poll", func(h *hooks) { h.found("x", byPoll, at(0)); h.hear(at(9)); h.take(at(9)); h.found("", byHook, at(9)) }, "", at(9)},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &hooks{}
			test.tell(h)
			if got := h.missed(at(minute - 1)); got != "" {
				t.Errorf("missed %q before the minute is over", got)
			}
			if got := h.missed(at(minute)); got != test.want {
				t.Errorf("missed %q, want %q", got, test.want)
			}
			if got := h.lastTold(); !got.Equal(test.told) {
				t.Errorf("told at %v, want %v", got, test.told)
			}
			if got := h.missed(at(2 * minute)); got != "" {
				t.Errorf("missed %q a second time", got)
			}
		})
	}
}

func TestTheWarningComesAgainOnlyAfterWebhooksWorkedAgain(t *testing.T) {
	const minute = 60_000
	h := &hooks{}
	h.found("x", byPoll, at(0))
	h.missed(at(minute))
	h.found("y", byPoll, at(2*minute))
	if got := h.missed(at(4 * minute)); got != "" {
		t.Errorf("missed %q, though it has been warned of", got)
	}
	h.hear(at(5 * minute))
	h.take(at(5 * minute))
	h.found("z", byHook, at(5*minute))
	h.found("x", byPoll, at(6*minute))
	if got := h.missed(at(7 * minute)); got != "x" {
		t.Errorf("missed %q, want x", got)
	}
}

func TestMissedHooksAreWarnedOfWhereTheyUsedToArrive(t *testing.T) {
	hooked := &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "posts-webhook"}}
	arrived := &metav1.Time{Time: at(-1)}
	for _, test := range []struct {
		name    string
		webhook *v1alpha1.Webhook
		last    *metav1.Time
		want    int
	}{
		{"where they used to arrive", hooked, arrived, 1},
		{"where none ever arrived", hooked, nil, 0},
		{"where none is expected any more", nil, arrived, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			now, warnings := at(0), []string{}
			r := New(Config{
				Now:        func() time.Time { return now },
				HookMissed: func(_ *v1alpha1.Repository, change string) { warnings = append(warnings, change) },
			})
			repo := &v1alpha1.Repository{
				Spec: v1alpha1.RepositorySpec{Webhook: test.webhook, Environments: []v1alpha1.Entry{
					{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"},
				}},
				Status: v1alpha1.RepositoryStatus{LastHookTime: test.last},
			}
			f := &followed{listed: true, listing: source.Listing{Heads: map[string]string{"main": "11111111aa"}}}
			r.compareHooks(repo, f, map[string]string{"main": "22222222aa"})
			if next := r.missedHook(repo); !next.Equal(at(0).Add(hookGrace)) {
				t.Errorf("checks again at %v, want a minute later", next)
			}
			now = now.Add(hookGrace)
			r.missedHook(repo)
			r.missedHook(repo)
			if len(warnings) != test.want {
				t.Errorf("warned of %q, want %d warnings", warnings, test.want)
			}
		})
	}
}

func TestAPersonsRequestIsNoWebhook(t *testing.T) {
	if (&hooks{}).takeRequest("yes", at(0)) {
		t.Error("a person's request counts as a webhook")
	}
}

func TestChangeOf(t *testing.T) {
	repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{Environments: []v1alpha1.Entry{
		{Name: "review", Branches: []v1alpha1.BranchPattern{"feature/*"}, Namespace: "posts-${BRANCH_SLUG}"},
	}}}
	before := map[string]string{"main": "11111111aa", "feature/a": "22222222aa"}
	for _, test := range []struct {
		after map[string]string
		want  string
	}{
		{before, ""},
		{map[string]string{"main": "99999999aa", "feature/a": "22222222aa", "fix": "1"}, ""},
		{map[string]string{"main": "11111111aa", "feature/a": "33333333aa"}, "branch feature/a moved to 33333333"},
		{map[string]string{"feature/a": "22222222aa", "feature/b": "33333333aa"}, "branch feature/b is new"},
		{map[string]string{"main": "11111111aa"}, "branch feature/a is gone"},
	} {
		if got := changeOf(repo, before, test.after); got != test.want {
			t.Errorf("%v after %v: %q, want %q", test.after, before, got, test.want)
		}
	}
}

// A Git server must not wait for an agent that has just become the leader.
func TestAWebhookBeforeTheControllerRunsIsNotWaitedFor(t *testing.T) {
	r := New(Config{Now: func() time.Time { return at(0) }})
	r.Hook(types.NamespacedName{Name: "posts"})
	if !r.hooked("posts") {
		t.Error("the first listing does not count as the webhook's")
	}
}
