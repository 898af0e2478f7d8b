package branches

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/gittest"
)

// Sixty branches stay whatever a Git server answers. Most of them are deleted at once only after a user confirms it.
func TestNothingGoesOnDoubt(t *testing.T) {
	t.Parallel()
	const all, vanish = 60, 45
	team := begins(t, "doubt", "@every 1s")
	for i := range all {
		team.pushes(fmt.Sprintf("feature/%d", i))
	}
	team.hook()
	team.settles()

	other := team.server.Repository("other")
	other.Commit("main", map[string]string{"README.md": "Another repository.\n"}, "begin")
	tests := []struct {
		name   string
		fault  func()
		reason string
		says   string
	}{
		{"it fails", func() { team.server.Misbehave(gittest.Status(500)) }, "Unreachable", "500"},
		{"it does not find the repository", func() { team.server.Misbehave(gittest.Status(404)) }, "Invalid", "404"},
		{"it wants credentials", func() { team.server.RequireBasic("berth", "secret") }, "Unauthorized", "401"},
		{"it hangs", func() { team.server.Misbehave(gittest.Hang) }, "Unreachable", ""},
		{"it hangs in the listing", func() { team.server.Misbehave(gittest.Only(gittest.ListRefs, gittest.Hang)) }, "Unreachable", ""},
		{"its listing is cut off", func() { team.server.Misbehave(gittest.Only(gittest.ListRefs, gittest.CutOff(1000))) }, "Unreachable", ""},
		{"its listing is empty", func() { team.server.Misbehave(gittest.EmptyListing) }, "Empty", ""},
		{"its listing lacks the default branch, and others", func() { team.hides("main", "feature/1", "feature/2") }, "Waiting", "so is the default branch"},
		{"it has another repository under the address", func() { team.server.Misbehave(instead("other")) }, "Doubtful", "none of the known commits exist any more"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			test.fault()
			team.With(t).Becomes(test.reason, test.says)
			team.polled(4)
			team.mends()
			team.With(t).Becomes("Watching")
			if deletions := team.deletions(began); len(deletions) > 0 {
				t.Errorf("the agent sent %q", deletions)
			}
		})
	}
	team.settles()

	t.Run("most branches vanish", func(t *testing.T) {
		began, before := time.Now(), team.want()
		team.server.Misbehave(gittest.Status(503)) // otherwise the first ones are gone before the last ones disappear
		for i := range vanish {
			team.deletes(fmt.Sprintf("feature/%d", i))
		}
		team.server.Behave()
		team.With(t).Becomes("Waiting", "deletions are blocked", fmt.Sprintf("%d of %d environments", vanish, all+1), "berth confirm --repository doubt")
		team.polled(4)
		if deletions, lost := team.deletions(began), difference(team.got(), before); len(deletions) > 0 || lost != "" {
			t.Errorf("the agent sent %q; what differs now: %s", deletions, lost)
		}
		team.Patch(`{"metadata":{"annotations":{"berth.dev/confirmed":"yes-all-of-them"}}}`)
		team.settles()
		team.With(t).Becomes("Watching")
	})
}

// hides makes branches disappear from listings, until mends.
func (team *team) hides(names ...string) {
	team.t.Helper()
	for _, name := range names {
		team.git.Delete(name)
	}
}

// mends undoes all faults of the server.
func (team *team) mends() {
	team.t.Helper()
	refs := map[string]string{}
	for name, branch := range team.branches {
		refs["refs/heads/"+name] = branch.commit
	}
	team.git.Refs(refs)
	team.server.AllowAnyone()
	team.server.Behave()
}

// instead returns a fault that answers for another repository of the server.
func instead(repository string) gittest.Fault {
	return func(e *gittest.Exchange) {
		_, rest, _ := strings.Cut(e.HTTP.URL.Path, ".git/")
		e.HTTP.URL.Path = "/" + repository + ".git/" + rest
		e.Answer()
	}
}
