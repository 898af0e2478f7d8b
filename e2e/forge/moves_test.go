package forge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
)

// A forge that accepts requests and does not answer delays no sync, and gets the present state afterwards.
func TestAForgeThatDoesNotAnswer(t *testing.T) {
	posts := begins(t, "slow")
	gate := posts.reports(t, "write:repository", "write:issue")
	posts.forge.Push("main", application("one"))
	posts.Environment("side").Becomes("Healthy", posts.forge.Push("side", application("one")))
	number := posts.forge.Open("side")
	posts.says(t, number, "✅ Healthy")
	gate.Stall()
	missed := posts.forge.Push("side", application("two"))
	posts.Environment("side").Becomes("Healthy", missed)
	last := posts.forge.Push("side", application("three"))
	posts.Environment("side").Becomes("Healthy", last)
	posts.feedback(t, "Unreachable", "the forge took too long")
	gate.Resume()
	posts.shows(t, last, "berth/review", "success", "Healthy")
	posts.says(t, number, last[:8], "✅ Healthy")
	if s := posts.forge.Status(missed, "berth/review"); s.Status == "success" {
		t.Errorf("the history was reported, too: %v", s)
	}
}

// Each merge request of a branch has a note of its own, and both say the same.
func TestTwoMergeRequestsOfOneBranch(t *testing.T) {
	posts := begins(t, "twice")
	posts.reports(t, "write:repository", "write:issue")
	posts.forge.Push("main", application("one"))
	posts.forge.Push("release", application("one"))
	head := posts.forge.Push("feature", application("two"))
	posts.Environment("feature").Becomes("Healthy", head)
	first, second := posts.forge.Open("feature"), posts.forge.OpenInto("feature", "release")
	one, two := posts.says(t, first, "`feature`", head[:8]), posts.says(t, second, "`feature`", head[:8])
	if one.ID == two.ID {
		t.Errorf("both have note %d", one.ID)
	}
	posts.forge.SetState(second, "closed")
	head = posts.forge.Push("feature", application("three"))
	if again := posts.says(t, first, head[:8], "✅ Healthy"); again.ID != one.ID {
		t.Errorf("note %d was not edited: there is %d", one.ID, again.ID)
	}
	posts.forge.SetState(second, "open")
	if again := posts.says(t, second, head[:8], "✅ Healthy"); again.ID != two.ID {
		t.Errorf("note %d was not edited: there is %d", two.ID, again.ID)
	}
}

// Gitea moves the merge requests of a renamed branch to the new name. The note follows, and stays one.
func TestABranchIsRenamed(t *testing.T) {
	posts := begins(t, "newname")
	posts.reports(t, "write:repository", "write:issue")
	posts.forge.Push("main", application("one"))
	head := posts.forge.Push("feature/old", application("two"))
	posts.Environment("feature/old").Becomes("Healthy", head)
	number := posts.forge.Open("feature/old")
	posts.says(t, number, "`feature/old`", head[:8])
	posts.forge.RenameBranch("feature/old", "feature/new")
	posts.lists(t, "the new branch has an environment", func() (string, bool) {
		env, there := posts.Environment("feature/new").Get()
		return world.Line(env), there
	})
	head = posts.forge.Push("feature/new", application("three"))
	posts.Environment("feature/new").Becomes("Healthy", head)
	posts.lists(t, "the old environment is removed", func() (string, bool) {
		env, there := posts.Environment("feature/old").Get()
		return world.Line(env), !there
	})
	posts.says(t, number, "`feature/new`", head[:8], "✅ Healthy")
}

// lists requests listings until something is so.
func (team *team) lists(t *testing.T, what string, is func() (string, bool)) {
	t.Helper()
	world.Await(t, what, func() (string, bool) {
		team.Patch(fmt.Sprintf(`{"metadata": {"annotations": {"berth.dev/requested": "%d"}}}`, time.Now().UnixNano()))
		return is()
	})
}

// Of two replicas only the leader reports. When it is killed, the other one continues with the same note.
func TestTwoReplicasWriteOneNote(t *testing.T) {
	posts := begins(t, "replicas")
	gate := posts.reports(t, "write:repository", "write:issue")
	posts.forge.Push("main", application("one"))
	posts.Environment("side").Becomes("Healthy", posts.forge.Push("side", application("one")))
	number := posts.forge.Open("side")
	note := posts.says(t, number, "✅ Healthy")

	if err := shared.Agent.Stop(); err != nil {
		t.Fatal(err)
	}
	leader, standby := shared.Agent.Twin("leader", "--leader-elect", "--lease-duration", "6s"), shared.Agent.Twin("standby", "--leader-elect", "--lease-duration", "6s", "--webhook-address", "0")
	t.Cleanup(func() {
		for _, end := range []func() error{leader.Stop, standby.Stop, shared.Agent.Start} {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	head := posts.forge.Push("side", application("two"))
	posts.says(t, number, head[:8], "✅ Healthy")
	if err := standby.Start(); err != nil {
		t.Fatal(err)
	}
	head = posts.forge.Push("side", application("three"))
	posts.says(t, number, head[:8], "✅ Healthy")
	before := len(gate.Requests())
	head = posts.forge.Push("side", application("four"))
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	posts.lists(t, "the standby syncs", func() (string, bool) { return posts.Environment("side").Is("Healthy", head) })
	posts.shows(t, head, "berth/review", "success", "Healthy")
	if again := posts.says(t, number, head[:8], "✅ Healthy"); again.ID != note.ID {
		t.Errorf("note %d was not edited: there is %d", note.ID, again.ID)
	}
	if written := slices.ContainsFunc(gate.Requests()[before:], func(r string) bool {
		return strings.HasPrefix(r, "POST ") && strings.HasSuffix(r, "/comments")
	}); written {
		t.Error("a second note was written")
	}
}
