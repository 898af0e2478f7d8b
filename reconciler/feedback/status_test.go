package feedback

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source/forge"
)

// The commits of the tests.
var commitA, commitB = apitest.Commit("a"), apitest.Commit("b")

// environment returns the Environment of a branch at commit A, with the reason and message of Ready.
func environment(branch, reason, message string, change ...func(*v1alpha1.Environment)) *v1alpha1.Environment {
	entry := "review"
	if branch == "main" {
		entry = "production"
	}
	env := apitest.Environment(apitest.Repository(), entry, branch, change...)
	env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason, Message: message}}
	if env.Status.ShortCommit == "" {
		env.Status.ShortCommit = commitA[:8]
	}
	return &env
}

func TestStatusOf(t *testing.T) {
	at := func(head, short string) func(*v1alpha1.Environment) {
		return func(env *v1alpha1.Environment) { env.Spec.Commit, env.Status.ShortCommit = head, short }
	}
	for _, test := range []struct {
		rule            string
		reason, message string
		change          func(*v1alpha1.Environment)
		want            string
		page            Page
	}{
		{"a sync runs, without counts", "Syncing", "Deployment/web: 0 of 1 ready", nil, "Running aaaaaaaa Syncing", ""},
		{"what is not healthy leads to the page", "Failed", "Deployment/web: crashes", nil, "Failed aaaaaaaa Failed: Deployment/web: crashes https://berth.example.com/env/posts.review.side", "https://berth.example.com"},
		{"so does a success without a link", "Healthy", "", nil, "Success aaaaaaaa Healthy https://berth.example.com/env/posts.review.side", "https://berth.example.com/"},
		{"a success with a link leads to the application", "Healthy", "", func(env *v1alpha1.Environment) { env.Status.Link = "https://x" }, "Success aaaaaaaa Healthy https://x", "https://berth.example.com"},
		{"a success has the link", "Healthy", "everything is as Git says; 3 warnings", func(env *v1alpha1.Environment) { env.Status.Link = "https://x" }, "Success aaaaaaaa Healthy https://x", ""},
		{"what degrades later was a success", "Degraded", "Deployment/web: crashes", nil, "Success aaaaaaaa Healthy", ""},
		{"a failure has the reason", "Failed", "Deployment/web: crashes", nil, "Failed aaaaaaaa Failed: Deployment/web: crashes", ""},
		{"a place in the queue", "Queued", "place 3 in the queue", nil, "Pending aaaaaaaa Queued: place 3 in the queue", ""},
		{"a queue is about the head", "Queued", "place 3", at(commitB, commitA[:8]), "Pending bbbbbbbb Queued: place 3", ""},
		{"a rollback is the failure of the head", "RolledBack", "b failed: x", at(commitB, commitA[:8]), "Failed bbbbbbbb RolledBack: b failed: x", ""},
		{"the status is about an earlier commit", "Syncing", "", func(env *v1alpha1.Environment) {
			at(commitB, commitA[:8])(env)
			env.Status.History = []v1alpha1.SyncStatus{{Commit: commitA}}
		}, "Running aaaaaaaa Syncing", ""},
		{"nobody knows the whole id of that commit", "Syncing", "", at(commitB, commitA[:8]), "", ""},
		{"a pinned commit", "Healthy", "", func(env *v1alpha1.Environment) { at(commitB, commitA[:8])(env); env.Spec.Pin = commitA }, "Success aaaaaaaa Healthy", ""},
		{"suspended before it was healthy", "Suspended", "left as it is", nil, "Pending aaaaaaaa Suspended: left as it is", ""},
		{"suspended while it was healthy", "Suspended", "left as it is", func(env *v1alpha1.Environment) { env.Status.HealthyCommit = commitA }, "Success aaaaaaaa Healthy", ""},
		{"expired", "Expired", "", nil, "", ""},
		{"deleted", "Deleting", "", nil, "", ""},
		{"being deleted, and not begun", "Healthy", "", func(env *v1alpha1.Environment) { env.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, "", ""},
		{"not reconciled yet", "", "", nil, "", ""},
	} {
		t.Run(test.rule, func(t *testing.T) {
			var changes []func(*v1alpha1.Environment)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			s, ok := statusOf(environment("side", test.reason, test.message, changes...), test.page)
			got := ""
			if ok {
				got = strings.TrimSpace(strings.Join([]string{string(s.State), s.Commit[:min(8, len(s.Commit))], s.Description, s.Link}, " "))
			}
			if got != test.want || s.Name != "berth/review" || s.Branch != "side" {
				t.Errorf("the status is %q of %s, want %q", got, s.Name, test.want)
			}
		})
	}
}

func TestSuperseded(t *testing.T) {
	env := environment("side", "Syncing", "")
	told := func(commit string, state forge.State) v1alpha1.EnvironmentFeedback {
		return v1alpha1.EnvironmentFeedback{Commit: commit, State: string(state), Pipeline: 7}
	}
	for _, test := range []struct {
		rule string
		told v1alpha1.EnvironmentFeedback
		next string
		want string
	}{
		{"nothing was reported", v1alpha1.EnvironmentFeedback{}, commitA, ""},
		{"the same commit goes on", told(commitA, forge.Running), commitA, ""},
		{"another commit follows", told(commitA, forge.Running), commitB, "superseded by commit bbbbbbbb"},
		{"another commit follows one that waited", told(commitA, forge.Pending), commitB, "superseded by commit bbbbbbbb"},
		{"the earlier commit had ended", told(commitA, forge.Failed), commitB, ""},
		{"the environment goes", told(commitA, forge.Running), "", "the environment is removed"},
	} {
		s, ok := superseded(env, test.told, forge.Status{Name: "berth/review", Commit: test.next})
		if s.Description != test.want || ok != (test.want != "") || ok && (s.State != forge.Canceled || s.Commit != commitA || s.Pipeline != 7) {
			t.Errorf("%s: %v %v, want %q", test.rule, s, ok, test.want)
		}
	}
}

// A merge request waits for the status of the branch's newest commit, whatever ended it.
func TestOnlyANewerCommitSupersedes(t *testing.T) {
	for _, test := range []struct {
		rule, head, pin, next string
		superseded            bool
	}{
		{"a push", commitB, "", commitB, true},
		{"a pin to an older commit", commitA, commitB, commitB, false},
		{"the end of the environment", commitA, "", "", false},
		{"the end of the environment, after a push", commitB, "", "", true},
		{"an Environment that is gone", "", "", "", false},
	} {
		env := environment("side", "Syncing", "")
		env.Spec.Commit, env.Spec.Pin = test.head, test.pin
		s, ok := superseded(env, v1alpha1.EnvironmentFeedback{Commit: commitA, State: string(forge.Running)}, forge.Status{Name: "berth/review", Commit: test.next})
		if !ok || s.Superseded != test.superseded {
			t.Errorf("%s: %+v", test.rule, s)
		}
	}
}
