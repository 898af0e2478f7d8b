package main

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

// The commits of these tests, and how users and statuses write them.
var (
	older  = strings.Repeat("a1", 20)
	wanted = strings.Repeat("b2", 20)
	newer  = strings.Repeat("c3", 20)
)

// state returns an Environment at generation 2 with a reason of the agent.
func state(reason string, change ...func(*v1alpha1.Environment)) *v1alpha1.Environment {
	env := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "posts.production.main", Generation: 2}}
	env.Spec.Commit = wanted
	env.Status.ObservedGeneration = 2
	env.Status.ShortCommit = wanted[:8]
	env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason, Message: "the message"}}
	for _, c := range change {
		c(env)
	}
	return env
}

func at(commit string) func(*v1alpha1.Environment) {
	return func(env *v1alpha1.Environment) { env.Spec.Commit = commit }
}

func about(commit string) func(*v1alpha1.Environment) {
	return func(env *v1alpha1.Environment) { env.Status.ShortCommit = commit[:8] }
}

func pinned(commit string) func(*v1alpha1.Environment) {
	return func(env *v1alpha1.Environment) { env.Spec.Pin = commit }
}

func history(commit, outcome string) func(*v1alpha1.Environment) {
	return func(env *v1alpha1.Environment) {
		env.Status.History = append(env.Status.History, v1alpha1.SyncStatus{Commit: commit, Outcome: outcome, Reason: "it crashed"})
	}
}

func unobserved(env *v1alpha1.Environment) { env.Status.ObservedGeneration = 1 }

func deletedNow(env *v1alpha1.Environment) { env.DeletionTimestamp = &metav1.Time{} }

func answered(id string) func(*v1alpha1.Environment) {
	return func(env *v1alpha1.Environment) { env.Status.HandledRetry = id }
}

func TestVerdicts(t *testing.T) {
	asked := handled("id", func(s v1alpha1.EnvironmentStatus) string { return s.HandledRetry })
	for _, test := range []struct {
		name  string
		judge judgement
		env   *v1alpha1.Environment
		want  stage
	}{
		{"healthy", settled, state("Healthy"), good},
		{"failed", settled, state("Failed"), bad},
		{"degraded", settled, state("Degraded"), bad},
		{"rolled back", settled, state("RolledBack"), bad},
		{"suspended", settled, state("Suspended"), bad},
		{"syncing", settled, state("Syncing"), going},
		{"waiting", settled, state("Waiting"), going},
		{"queued", settled, state("Queued"), going},
		{"expired, which a push ends", settled, state("Expired"), going},
		{"nothing said yet", settled, state(""), going},
		{"being deleted", settled, state("Healthy", deletedNow), bad},

		{"a request that the agent has not seen", asked, state("Healthy"), stale},
		{"another request that was handled", asked, state("Failed", answered("other")), stale},
		{"a handled request", asked, state("Healthy", answered("id")), good},
		{"a handled request and a newer spec", asked, state("Healthy", answered("id"), unobserved), stale},
		{"a request in the queue", asked, state("Queued"), going},
		{"a request for an environment that is being deleted", asked, state("Healthy", deletedNow), bad},

		{"a spec that the agent has not seen", generationSeen(2), state("Healthy", unobserved), stale},
		{"a spec that was seen", generationSeen(2), state("Failed"), bad},
		{"suspended as it was asked for", stopped(2), state("Suspended"), good},
		{"about to be suspended", stopped(2), state("Healthy", unobserved), stale},
		{"suspended while it is deleted", stopped(2), state("Suspended", deletedNow), bad},

		{"the commit of the spec", current, state("Healthy"), good},
		{"the commit before", current, state("Healthy", about(older)), stale},
		{"a spec newer than the status", current, state("Failed", unobserved), stale},
		{"the commit before, queued", current, state("Queued", about(older)), going},
		{"the pin", current, state("Healthy", pinned(older), about(older)), good},
		{"no commit yet", current, state("", at(""), func(env *v1alpha1.Environment) { env.Status.ShortCommit = "" }), stale},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.judge(test.env); got.stage != test.want {
				t.Errorf("got %+v, want %d", got, test.want)
			}
		})
	}
}

func TestAwaited(t *testing.T) {
	healthy := func(commit string) func(*v1alpha1.Environment) {
		return func(env *v1alpha1.Environment) { env.Status.HealthyCommit = commit }
	}
	applied := func(env *v1alpha1.Environment) { env.Status.AppliedCommit = wanted }
	before := state("Healthy", at(older), about(older), history(older, "Healthy"))
	for _, test := range []struct {
		name    string
		orNewer bool
		states  []*v1alpha1.Environment
		want    verdict
	}{
		{"not listed yet", false, []*v1alpha1.Environment{before}, verdict{}},
		{"listed, and not looked at", false, []*v1alpha1.Environment{state("Healthy", about(older), unobserved)}, verdict{}},
		{"on its way", false, []*v1alpha1.Environment{before, state("Syncing")}, verdict{stage: going}},
		{"healthy", false, []*v1alpha1.Environment{before, state("Syncing"), state("Healthy")}, verdict{stage: good}},
		{"failed", false, []*v1alpha1.Environment{state("Failed")}, verdict{stage: bad}},
		{"superseded", false, []*v1alpha1.Environment{state("Syncing"), state("Syncing", at(newer))},
			verdict{bad, "commit b2b2b2b2 was superseded by c3c3c3c3 before it was healthy"}},
		{"superseded, known from what was applied", false, []*v1alpha1.Environment{state("Syncing", at(newer), applied)},
			verdict{bad, "commit b2b2b2b2 was superseded by c3c3c3c3 before it was healthy"}},
		{"superseded, and the newer will do", true, []*v1alpha1.Environment{state("Syncing"), state("Syncing", at(newer), about(newer))}, verdict{stage: going}},
		{"superseded by what is healthy", true, []*v1alpha1.Environment{state("Syncing"), state("Healthy", at(newer), about(newer))}, verdict{stage: good}},
		{"followed when it was healthy", false, []*v1alpha1.Environment{state("Syncing", at(newer), about(newer), healthy(wanted))},
			verdict{good, "commit b2b2b2b2 was healthy before it was superseded by c3c3c3c3"}},
		{"healthy long ago", false, []*v1alpha1.Environment{state("Failed", at(newer), about(newer), history(newer, "Failed"), history(wanted, "Healthy"))},
			verdict{good, "commit b2b2b2b2 was healthy before it was superseded by c3c3c3c3"}},
		{"failed long ago", false, []*v1alpha1.Environment{state("Healthy", at(newer), about(newer), healthy(newer), history(wanted, "Failed"))},
			verdict{bad, "commit b2b2b2b2 did not become healthy, and was superseded by c3c3c3c3: it crashed"}},
		{"failed long ago, and the newer will do", true, []*v1alpha1.Environment{state("Healthy", at(newer), about(newer), healthy(newer), history(wanted, "Failed"))}, verdict{stage: good}},
		{"pinned elsewhere", false, []*v1alpha1.Environment{state("Healthy", pinned(older), about(older))},
			verdict{bad, "it is pinned to a1a1a1a1; to follow the branch again: berth pin posts.production.main --unpin"}},
		{"pinned there", false, []*v1alpha1.Environment{state("Healthy", at(newer), pinned(wanted))}, verdict{stage: good}},
		{"being deleted", false, []*v1alpha1.Environment{state("Healthy", deletedNow)}, verdict{bad, "it is being deleted"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &awaited{commit: wanted[:10], orNewer: test.orNewer}
			var got verdict
			for _, env := range test.states {
				got = a.judge(env)
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestCommitOfHistory(t *testing.T) {
	twin := "b2b2" + strings.Repeat("0", 36)
	env := state("Healthy", history(older, "Healthy"), history(twin, "Failed"))
	for _, test := range []struct{ commit, want, wantErr string }{
		{wanted, wanted, ""},
		{newer, newer, ""}, // a commit that its branch may reach
		{"a1a1", older, ""},
		{"b2b2b", wanted, ""},
		{"b2b2", "", "2 commits in the history of posts.production.main begin with b2b2: b2b20000, b2b2b2b2; give more of it"},
		{"ffff", "", "no commit in the history of posts.production.main begins with ffff; give the full id, as git rev-parse ffff prints it"},
	} {
		got, err := commitOfHistory(env, test.commit)
		if text := errorText(err); got != test.want || text != test.wantErr {
			t.Errorf("%s: got %q, %q; want %q, %q", test.commit, got, text, test.want, test.wantErr)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
