package checkup_test

import (
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

// condition returns a condition that the agent sets on a Repository or an Environment.
func condition(status metav1.ConditionStatus, reason, message string) []metav1.Condition {
	return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message}}
}

func ago(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(-d)} }

func TestRepository(t *testing.T) {
	key, err := os.ReadFile("../../../examples/posts/berth/demo-keys/review.agekey")
	if err != nil {
		t.Fatal(err)
	}
	namespace := shared(t).Namespace(t)
	put(t, namespace, secret("git", "username=ada", "password=hunter2"), secret("empty", "password="), secret("hook", "token=hunter2"), secret("previous", "token.previous=hunter2"),
		secret("more", "token=hunter2", "secret=hunter2"), secret("keys", "age.agekey="+string(key)), secret("morekeys", "age.agekey="+string(key), "notes=hunter2"), secret("nokeys", "notes=hunter2"))
	following := condition(metav1.ConditionTrue, "Watching", "following 1 branch")
	const (
		keys   = "keys of age14r0see0zk9cq8vzgpq3neys0t4axmnpeqf9jq44gvxjg4t4j9ahqs2mhz4"
		noHook = "ok webhook: there is none: pushes are seen at the next poll, @every 1m"
		none   = "ok environments: there is none"
	)
	type change func(*v1alpha1.Repository)
	hook := func(secret string, heard, changed *metav1.Time) change {
		return func(r *v1alpha1.Repository) {
			r.Spec.Webhook = &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: secret}}
			r.Status.LastHookTime, r.Status.LastChangeTime = heard, changed
		}
	}
	decrypting := func(d v1alpha1.Decryption) change {
		return func(r *v1alpha1.Repository) { r.Spec.Environments[0].Decryption = &d }
	}
	named := func(secret string) change {
		return decrypting(v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: secret}})
	}
	for _, test := range []struct {
		reason string
		checks string
		change change
		want   []string
	}{
		{"all is well", "state credentials webhook environments keys", func(*v1alpha1.Repository) {}, []string{"ok state: Watching: following 1 branch", noHook, none}},
		{"no agent has reconciled it", "state", func(r *v1alpha1.Repository) { r.Status.Conditions = nil }, []string{"problem state: no agent has reconciled it yet; does one run in the namespace " + namespace + "?"}},
		{"suspended", "state", func(r *v1alpha1.Repository) {
			r.Status.Conditions = condition(metav1.ConditionFalse, v1alpha1.ReasonSuspended, "as spec.suspend says")
		},
			[]string{"warning state: Suspended: as spec.suspend says"}},
		{"unreachable", "state", func(r *v1alpha1.Repository) {
			r.Status.Conditions = condition(metav1.ConditionFalse, "Unreachable", "no route")
		}, []string{"problem state: Unreachable: no route"}},
		{"a change that was not seen", "state", func(r *v1alpha1.Repository) { r.Generation = 3 }, []string{"warning state: the agent has not seen the newest change of the Repository yet"}},

		{"an entry of another agent", "agent keys", func(r *v1alpha1.Repository) {
			named("absent")(r)
			r.Spec.Environments[0].Agent = "west"
			r.Spec.Environments, r.Status.Agent = append(r.Spec.Environments, v1alpha1.Entry{Name: "production", Agent: "east"}), "east"
		}, []string{"ok agent: it belongs to the agent west, and is checked in that agent's cluster; the one here is the agent east"}},
		{"no entry of this agent", "agent credentials webhook keys", func(r *v1alpha1.Repository) {
			r.Spec.SecretRef = &v1alpha1.SecretReference{Name: "absent"}
			r.Status.Agent = "east"
		}, []string{"warning agent: no entry belongs to the agent east, which follows it here; ", "ok agent: it belongs to the agent without a name, "}},
		{"an agent that has not followed it yet", "agent", func(r *v1alpha1.Repository) {
			r.Spec.Environments[0].Agent, r.Status.ObservedGeneration = "west", 0
		}, nil},

		{"credentials", "credentials", func(r *v1alpha1.Repository) { r.Spec.SecretRef = &v1alpha1.SecretReference{Name: "git"} }, []string{"ok credentials: Secret/git has password, username"}},
		{"credentials without a value", "credentials", func(r *v1alpha1.Repository) { r.Spec.SecretRef = &v1alpha1.SecretReference{Name: "empty"} },
			[]string{"problem credentials: Secret/empty has none of the entries username, password, bearerToken, identity, known_hosts, ca.crt"}},
		{"credentials that are not there", "credentials", func(r *v1alpha1.Repository) { r.Spec.SecretRef = &v1alpha1.SecretReference{Name: "absent"} },
			[]string{"problem credentials: Secret/absent does not exist in the namespace " + namespace}},

		{"a webhook", "webhook", hook("hook", ago(time.Hour), ago(time.Hour)), []string{"ok webhook: Secret/hook has token", "ok webhook: the last one came at 2026-01-02T02:04:05Z"}},
		{"a webhook a little late", "webhook", hook("hook", ago(time.Hour), ago(59*time.Minute)), []string{"ok webhook: Secret/hook has token", "ok webhook: the last one came at "}},
		{"a webhook that no longer comes", "webhook", hook("hook", ago(time.Hour), ago(58*time.Minute)),
			[]string{"ok webhook: Secret/hook has token", "warning webhook: the last change, at 2026-01-02T02:06:05Z, came without one; look at its deliveries on the Git server"}},
		{"a webhook that never came", "webhook", hook("hook", nil, ago(time.Hour)), []string{"ok webhook: Secret/hook has token", "warning webhook: none has announced a push yet; send a test from the Git server, and see docs/webhooks.md"}},
		{"a webhook with the old token alone", "webhook", hook("previous", nil, nil), []string{"problem webhook: Secret/previous has none of the entries token, signingToken", "warning webhook: none has announced "}},
		{"a webhook with more than is read", "webhook", hook("more", nil, nil),
			[]string{"warning webhook: Secret/more has unknown entries: secret; known entries are: token, signingToken, token.previous, signingToken.previous", "warning webhook: none has announced "}},

		{"keys", "keys", named("keys"), []string{"ok keys: Secret/keys holds the " + keys}},
		{"keys and more", "keys", named("morekeys"), []string{"warning keys: Secret/morekeys holds the " + keys + "; and these entries have names of no kind of key: notes"}},
		{"no keys", "keys", named("nokeys"), []string{"problem keys: Secret/nokeys does not hold keys: there is no key: entries are named *.agekey, "}},
		{"keys that are not there", "keys", named("absent"), []string{"problem keys: Secret/absent does not exist in the namespace " + namespace}},
		{"the agent's identity", "keys", decrypting(v1alpha1.Decryption{Allow: []string{"arn:aws:kms:eu-west-1:1:key/a"}}), []string{"ok keys: none of its own: the agent's identity is used for arn:aws:kms:eu-west-1:1:key/a"}},
		{"kinds alone", "keys", decrypting(v1alpha1.Decryption{Kinds: []string{"ConfigMap"}}), nil},
		{"copies", "copySecrets", func(r *v1alpha1.Repository) {
			r.Spec.Environments[0].CopySecrets = []v1alpha1.SecretReference{{Name: "git"}, {Name: "absent"}}
		},
			[]string{"ok copySecrets: Secret/git is there to be copied", "problem copySecrets: Secret/absent does not exist in the namespace " + namespace}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: namespace, Generation: 2}}
			repo.Spec.Poll, repo.Spec.Environments = "@every 1m", []v1alpha1.Entry{{Name: "review"}}
			repo.Status.Conditions, repo.Status.ObservedGeneration = following, 2
			test.change(repo)
			say(t, checker(t, shared(t).RESTConfig(), namespace).Repository(t.Context(), repo, nil), test.checks, test.want...)
		})
	}
}

func TestEnvironments(t *testing.T) {
	environment := func(name, reason, message string) v1alpha1.Environment {
		e := v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if reason != "" {
			e.Status.Conditions = condition(metav1.ConditionFalse, reason, message)
		}
		return e
	}
	repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Name: "posts"}}
	found := checker(t, shared(t).RESTConfig(), "default").Repository(t.Context(), repo, []v1alpha1.Environment{
		environment("a", "Healthy", ""), environment("b", "Failed", "it crashes"), environment("c", "Healthy", ""), environment("d", "RolledBack", "no"),
		environment("e", "Degraded", "one pod"), environment("f", "Syncing", "goes on"), environment("g", "", ""),
	})
	say(t, found, "environments a b c d e f g",
		"ok environments: 1 Degraded, 1 Failed, 2 Healthy, 1 RolledBack, 1 Syncing, 1 not reconciled yet",
		"warning b: Failed: it crashes", "warning d: RolledBack: no", "warning e: Degraded: one pod")
}
