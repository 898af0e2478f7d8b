package agent

import (
	"maps"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/gittest"
)

// restartAs restarts the agent with another name.
func (w *world) restartAs(name string) {
	w.t.Helper()
	w.name = name
	w.restart()
}

// give gives an entry to an agent.
func (w *world) give(entry, agent string) {
	w.t.Helper()
	w.changeRepository(func(r *v1alpha1.Repository) {
		for i := range r.Spec.Environments {
			if r.Spec.Environments[i].Name == entry {
				r.Spec.Environments[i].Agent = agent
			}
		}
	})
}

// repositorySays waits until the Ready condition of the Repository has a reason and a text, for its newest spec.
func (w *world) repositorySays(reason, text string) {
	w.t.Helper()
	w.eventually("the Repository is "+reason+" and says "+text, func() bool {
		repo := w.repository()
		ready := meta.FindStatusCondition(repo.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == reason && ready.ObservedGeneration == repo.Generation && strings.Contains(ready.Message, text)
	})
}

// An agent needs neither the Git server nor its credentials for a Repository without an entry of its own.
func TestAnAgentLeavesTheEntriesOfOthersAlone(t *testing.T) {
	w := newWorld(t)
	w.restartAs("east")
	w.branches("one", "f0")
	w.git.Misbehave(gittest.Status(500))
	w.follow(func(r *v1alpha1.Repository) {
		r.Spec.SecretRef = &v1alpha1.SecretReference{Name: "nowhere"}
		r.Spec.Environments[1].Agent = "west"
	})
	w.repositorySays(v1alpha1.ReasonWatching, "following nothing, because no entry belongs to the agent east; 2 entries belong to other agents: production (the agent without a name), review (the agent west)")
	w.poll()
	if made := w.environments(); len(made) > 0 {
		t.Fatalf("it made %s", made[0].Name)
	}
	if status := w.repository().Status; status.Agent != "east" {
		t.Errorf("status.agent is %q", status.Agent)
	}

	w.git.Behave()
	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.SecretRef = nil })
	w.give("production", "east")
	w.healthy("main")
	w.repositorySays(v1alpha1.ReasonWatching, "; 1 entry belongs to another agent: review (the agent west)")
	if env := w.environment("main"); env.Spec.Agent != "east" || w.environment("f0") != nil || w.space("f0") != nil {
		t.Errorf("main is run by %q, and f0 has an environment: %t", env.Spec.Agent, w.environment("f0") != nil)
	}
}

func TestAnEntryMovesToAnotherAgent(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("main", "f0")
	before := w.uids()

	w.give("review", "west")
	w.gone("f0")
	w.give("production", "west")
	w.repositorySays(v1alpha1.ReasonWaiting, "posts.production.main: its entry production belongs to the agent west")
	message := w.becomes("main", v1alpha1.ReasonWaiting)
	if !strings.Contains(message, "what runs here stays as it is") || !strings.Contains(message, "berth confirm posts.production.main") {
		t.Errorf("the environment says %q", message)
	}
	w.code.Commit("main", content("two"), "two")
	w.poll()
	if after := w.uids(); after["posts.production.main"] != before["posts.production.main"] || w.says("main") != "one" {
		t.Errorf("the environment of another agent's entry is not as before, and says %q", w.says("main"))
	}

	w.give("production", "")
	w.healthy("main")
	if w.says("main") != "two" || w.uids()["posts.production.main"] != before["posts.production.main"] {
		t.Errorf("after its return it says %q", w.says("main"))
	}

	w.give("production", "west")
	w.becomes("main", v1alpha1.ReasonWaiting)
	w.changeEnvironment("main", func(env *v1alpha1.Environment) { annotate(env, v1alpha1.AnnotationConfirmed, "1") })
	w.eventually("the Environment is gone", func() bool { return w.environment("main") == nil })
	w.repositorySays(v1alpha1.ReasonWatching, "following nothing")
	if w.says("main") != "two" {
		t.Errorf("its objects did not stay: %q", w.says("main"))
	}
}

func TestAnAgentWithAnotherNameDeletesNothing(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "f1")
	w.follow()
	w.healthy("main", "f0", "f1")
	before := w.uids()

	w.restartAs("east")
	w.repositorySays(v1alpha1.ReasonWaiting, "or start the agent without --agent-name")
	for _, branch := range []string{"main", "f0", "f1"} {
		w.becomes(branch, v1alpha1.ReasonWaiting)
	}
	for range 3 {
		w.poll()
		w.pass(longGone)
	}
	w.give("production", "east")
	w.healthy("main")
	w.give("review", "east")
	w.healthy("f0", "f1")
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, now %v", before, after)
	}
	w.restartAs("")
	w.becomes("f0", v1alpha1.ReasonWaiting)
	w.restartAs("east")
	w.healthy("main", "f0", "f1")
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, now %v", before, after)
	}

	w.restartAs("north")
	w.repositorySays(v1alpha1.ReasonWaiting, "berth confirm --repository posts")
	w.confirm()
	w.eventually("no Environment is left", func() bool { return len(w.environments()) == 0 })
	w.gone("f0")
	w.gone("f1")
	if w.says("main") != "one" {
		t.Errorf("production did not stay: %q", w.says("main"))
	}
}
