package plan_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

const rights = "RoleBinding/berth-apply." + ours

// equipped has the agent keep the rights of the environment's account.
func equipped(w *world) { w.in.Own = []manifest.Object{manifest.Binding("posts", ours)} }

// TestOwn is about the agent's own objects in the namespace.
func TestOwn(t *testing.T) {
	check(t, []spec{
		{"it comes right after the namespace, and before all that Git says", func(w *world) {
			equipped(w)
			w.git(configMap("settings"))
		}, `
			create Namespace/posts: is not in the cluster yet
			create RoleBinding/posts/berth-apply.a1b2c3.posts-main: is not in the cluster yet
			create ConfigMap/posts/settings: is not in the cluster yet
			Going: Namespace/posts, RoleBinding/berth-apply.a1b2c3.posts-main, ConfigMap/settings: is not in the cluster yet`},
		{"it costs nothing once it is there", func(w *world) {
			equipped(w)
			w.git(configMap("settings"))
			w.settle()
		}, `
			keep Namespace/posts
			keep RoleBinding/posts/berth-apply.a1b2c3.posts-main
			keep ConfigMap/posts/settings
			Settled`},
		{"an environment that was there before gets it, and nothing else changes", func(w *world) {
			w.git(deployment("api"))
			w.settle()
			equipped(w)
		}, `
			keep Namespace/posts
			create RoleBinding/posts/berth-apply.a1b2c3.posts-main: is not in the cluster yet
			keep Deployment/posts/api
			Settled`},
		{"what others did to it is reverted", func(w *world) {
			equipped(w)
			w.git(deployment("api"))
			w.settle()
			w.disturb(rights)
		}, `
			keep Namespace/posts
			correct RoleBinding/posts/berth-apply.a1b2c3.posts-main: was changed by another client
			keep Deployment/posts/api
			Settled`},
		{"it goes when the entry names another account, and needs no confirmation", func(w *world) {
			equipped(w)
			w.git(configMap("settings"))
			w.settle()
			w.in.Own = nil
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/settings
			delete RoleBinding/posts/berth-apply.a1b2c3.posts-main: is no longer in Git
			Settled`},
	})
}

// The binding grants the right to delete the rest.
func TestTheRightsOfAnEnvironmentGoLast(t *testing.T) {
	const others = `
		delete Deployment/posts/api: the environment is torn down
		delete ConfigMap/posts/settings: the environment is torn down [blocked: waits until Deployment/api is gone]
		delete ServiceAccount/posts/api: the environment is torn down [blocked: waits until Deployment/api is gone]
`
	w := newWorld(t)
	equipped(w)
	taken(w)
	w.git(deployment("api"), configMap("settings"), object("v1", "ServiceAccount", "api"))
	w.settle()
	p := w.teardown()
	if got, want := p.String(), lines(others+`delete RoleBinding/posts/berth-apply.a1b2c3.posts-main: the environment is torn down [blocked: waits until Deployment/api is gone]
		Going: 4 to delete: Deployment/api: the environment is torn down; and 3 more`); got != want {
		t.Errorf("the plan is\n%s\n\nand should be\n%s", got, want)
	}
	w.remove("Deployment/api")
	p = w.teardown()
	for _, s := range p.Ready() {
		if manifest.IsOwn(s.Key) {
			t.Errorf("the rights go before others:\n%s", p)
		}
	}
	w.remove(rights)
	p = w.teardown()
	if ready := p.Ready(); len(ready) == 0 || !stagesIncrease(ready, rights) || !strings.Contains(p.String(), "correct "+strings.Replace(rights, "/", "/posts/", 1)) {
		t.Errorf("removed rights are not restored before the deletions that need them:\n%s", p)
	}
}

// stagesIncrease reports whether a step is carried out before all others.
func stagesIncrease(steps []plan.Step, first string) bool {
	for _, s := range steps {
		for _, other := range steps {
			if s.Key.Short() == first && other.Key.Short() != first && other.Stage <= s.Stage {
				return false
			}
		}
	}
	return true
}

// What only the account can see is unknown until it has its rights. A Secret of Git is still written before the pods that
// need it.
func TestNothingIsWrittenBeforeTheRightsThatShowIt(t *testing.T) {
	secrets := schema.GroupKind{Kind: "Secret"}
	check(t, []spec{
		{"while the rights are granted, everything else waits", func(w *world) {
			equipped(w)
			w.git(configMap("settings"), object("v1", "Secret", "keys"))
			w.unseen(secrets, observed.Ungranted, "secrets is forbidden")
		}, `
			create Namespace/posts: is not in the cluster yet
			create RoleBinding/posts/berth-apply.a1b2c3.posts-main: is not in the cluster yet
			create ConfigMap/posts/settings: is not in the cluster yet [blocked: waits until the account of the environment has its rights]
			create Secret/posts/keys: was not seen in the cluster [blocked: cannot be seen by the agent: secrets is forbidden]
			Going: Namespace/posts, RoleBinding/berth-apply.a1b2c3.posts-main: is not in the cluster yet; Secret/keys: cannot be seen by the agent: secrets is forbidden; and 1 more`},
		{"an account that lacks a right stops only what needs it", func(w *world) {
			w.git(configMap("settings"), object("v1", "Secret", "keys"))
			w.unseen(secrets, observed.Ungranted, "secrets is forbidden")
		}, `
			create Namespace/posts: is not in the cluster yet
			create ConfigMap/posts/settings: is not in the cluster yet
			create Secret/posts/keys: was not seen in the cluster [blocked: cannot be seen by the agent: secrets is forbidden]
			Going: Namespace/posts, ConfigMap/settings: is not in the cluster yet; Secret/keys: cannot be seen by the agent: secrets is forbidden`},
	})
}

// An agent may end between the last two steps of a teardown: the end of the rights, and that of the record.
func TestATeardownRestoresTheRightsThatShowWhatIsLeft(t *testing.T) {
	secrets := schema.GroupKind{Kind: "Secret"}
	w := newWorld(t)
	equipped(w)
	taken(w)
	w.git(object("v1", "Secret", "keys"))
	w.settle()
	w.goes()
	w.goes()
	w.unseen(secrets, observed.Ungranted, "secrets is forbidden")
	if p := w.teardown(); len(p.Ready()) != 1 || p.Ready()[0].Key.Short() != rights {
		t.Errorf("the rights are not restored:\n%s", p)
	}
	w.goes()
	delete(w.unknown, secrets)
	w.goes()
	if p := w.teardown(); p.State != plan.Settled {
		t.Errorf("the teardown does not end:\n%s", p)
	}
}
