package agent

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/internal/gittest"
)

// longGone is longer than goneAfter.
const longGone = 10 * time.Minute

func TestABranchGetsAnEnvironmentAndLosesIt(t *testing.T) {
	w := newWorld(t)
	w.follow()
	w.healthy("main")
	w.branches("one", "feature/login")
	w.poll()
	w.healthy("feature/login")
	w.branches("two", "feature/login")
	w.poll()
	w.healthy("feature/login")
	if got := w.says("feature/login"); got != "two" {
		t.Errorf("the branch runs %q", got)
	}

	w.code.Delete("feature/login")
	w.poll()
	w.pass(longGone)
	if w.space("feature/login") == nil {
		t.Error("one listing was enough to delete a namespace")
	}
	w.poll()
	w.gone("feature/login")
	w.healthy("main")
}

func TestABranchThatComesBackWhileItIsTornDownIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("f0")
	before := w.space("f0")
	w.block("f0")
	w.code.Delete("f0")
	w.poll()
	w.pass(longGone)
	w.poll()
	if message := w.becomes("f0", v1alpha1.ReasonDeleting); message == "" {
		t.Error("nothing shows what a teardown is blocked by")
	}
	w.branches("two", "f0")
	w.poll()
	w.unblock("f0")
	w.healthy("f0")
	if after := w.space("f0"); after.UID == before.UID || w.says("f0") != "two" {
		t.Errorf("the old namespace %s runs %q", after.UID, w.says("f0"))
	}
}

func TestOneStuckTeardownDelaysNoOther(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "f1")
	w.follow()
	w.healthy("main", "f0", "f1")
	w.block("f0")
	own := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.space("f0").Name, Name: "app"}}
	holds := func(patch string) {
		if err := w.client.Patch(t.Context(), own, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	holds(`{"metadata":{"finalizers":["example.com/own"]}}`)
	w.code.Delete("f0")
	w.code.Delete("f1")
	w.poll()
	w.pass(longGone)
	w.poll()
	w.gone("f1")
	w.eventually("the teardown says what holds it", func() bool {
		// Foreign resources are quoted as the cluster reports them, and Berth's own are named.
		return w.readyMessageHas("f0", "example.com/stuck in 1 resource instances") && w.readyMessageHas("f0", "configmaps") &&
			w.readyMessageHas("f0", "ConfigMap/app: is being deleted; held by")
	})
	holds(`{"metadata":{"finalizers":null}}`)
	w.unblock("f0")
	w.gone("f0")
}

func TestASyncWaitsForItsTurnButProductionDoesNot(t *testing.T) {
	w := newWorld(t)
	w.agent.stop()
	w.syncAtOnce = 1
	w.start()
	slow := map[string]string{"infra/k8s/slow.yaml": pendingPod}
	w.code.CommitFrom("main", "f0", slow, "never ready")
	w.follow()
	w.becomes("f0", v1alpha1.ReasonSyncing)
	w.branches("one", "f1", "f2")
	w.code.Commit("main", content("two"), "production goes on")
	w.poll()
	w.becomes("f1", v1alpha1.ReasonQueued)
	w.becomes("f2", v1alpha1.ReasonQueued)
	w.healthy("main")

	w.code.Change("f0", "give up", gittest.Remove("infra/k8s/slow.yaml"))
	w.poll()
	w.healthy("f0", "f1", "f2")
}

// pendingPod is a pod that fits on no node.
const pendingPod = `apiVersion: v1
kind: Pod
metadata: {name: slow}
spec:
  nodeSelector: {nowhere: "true"}
  containers: [{name: slow, image: slow}]
`

func TestTheLimitOfAnEntry(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "f1")
	two := int32(2)
	w.follow(func(r *v1alpha1.Repository) { r.Spec.Environments[1].Limit = &two })
	w.healthy("main", "f0", "f1")
	w.branches("one", "f2", "f3", "a")
	w.poll()
	w.becomes("f2", v1alpha1.ReasonQueued)
	w.becomes("f3", v1alpha1.ReasonQueued)
	if message := w.becomes("a", v1alpha1.ReasonQueued); message == "" || w.space("a") != nil {
		t.Errorf("the queued branch says %q", message)
	}
	w.restart()
	w.poll()
	w.healthy("f0", "f1")

	w.code.Delete("f0")
	w.poll()
	w.pass(longGone)
	w.poll()
	w.gone("f0")
	w.eventually("the next in the queue is let in", func() bool {
		return w.says("f2")+w.says("f3")+w.says("a") == "one"
	})
	w.branches("two", "f1")
	w.poll()
	w.healthy("f1")

	w.changeRepository(func(r *v1alpha1.Repository) { r.Spec.Environments[1].Limit = nil })
	w.healthy("f1", "f2", "f3", "a")
}

func TestExpiry(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0", "kept")
	w.follow(expiring)
	w.healthy("main", "f0", "kept")
	w.pass(55 * time.Hour)
	for _, branch := range []string{"f0", "kept"} {
		w.eventually("there is a warning for "+branch, func() bool { return w.condition(branch, v1alpha1.ConditionExpiresSoon) != "" })
	}
	w.changeEnvironment("kept", func(env *v1alpha1.Environment) { annotate(env, v1alpha1.AnnotationKeep, "true") })
	w.eventually("the agent sees what is kept", func() bool { return w.condition("kept", v1alpha1.ConditionExpiresSoon) == "" })
	w.pass(20 * time.Hour)
	w.becomes("f0", v1alpha1.ReasonExpired)
	if w.space("f0") != nil {
		t.Error("the namespace of an expired branch is there")
	}
	w.healthy("main")
	if w.space("kept") == nil || w.condition("kept", v1alpha1.ConditionExpiresSoon) != "" {
		t.Error("what is kept expires")
	}

	w.restart()
	w.poll()
	w.becomes("f0", v1alpha1.ReasonExpired)
	w.branches("two", "f0")
	w.poll()
	w.healthy("f0")
	if got := w.says("f0"); got != "two" {
		t.Errorf("the revived branch runs %q", got)
	}
}

func TestAPushRevivesWhatIsExpiring(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow(expiring)
	w.healthy("f0")
	w.block("f0")
	w.idle("f0")
	w.becomes("f0", v1alpha1.ReasonExpiring)
	w.branches("two", "f0")
	w.poll()
	w.becomes("f0", v1alpha1.ReasonWaiting)
	w.unblock("f0")
	w.healthy("f0")
	if got := w.says("f0"); got != "two" {
		t.Errorf("the revived branch runs %q", got)
	}
}

func TestAnExpiredEnvironmentGoesWithItsBranch(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow(expiring)
	w.healthy("f0")
	w.idle("f0")
	w.becomes("f0", v1alpha1.ReasonExpired)
	w.code.Delete("f0")
	w.poll()
	w.pass(longGone)
	w.poll()
	w.gone("f0")
}

func TestSuspendAndPin(t *testing.T) {
	w := newWorld(t)
	w.branches("one", "f0")
	w.follow()
	w.healthy("f0")
	old := w.code.Head("f0")
	w.changeEnvironment("f0", func(env *v1alpha1.Environment) { env.Spec.Pin = old })
	w.branches("two", "f0")
	w.poll()
	w.becomes("f0", v1alpha1.ReasonHealthy)
	if env := w.environment("f0"); env.Spec.Commit != w.code.Head("f0") || w.says("f0") != "one" {
		t.Errorf("a pinned branch runs %q", w.says("f0"))
	}

	w.changeEnvironment("f0", func(env *v1alpha1.Environment) { env.Spec.Pin = apitest.Commit("d") })
	w.becomes("f0", v1alpha1.ReasonFailed)
	if w.says("f0") != "one" {
		t.Errorf("with a pin that cannot be fetched, the branch runs %q", w.says("f0"))
	}

	w.changeEnvironment("f0", func(env *v1alpha1.Environment) { env.Spec.Pin, env.Spec.Suspend = "", true })
	w.becomes("f0", v1alpha1.ReasonSuspended)
	if w.says("f0") != "one" {
		t.Errorf("a suspended branch runs %q", w.says("f0"))
	}
	w.changeEnvironment("f0", func(env *v1alpha1.Environment) { env.Spec.Suspend = false })
	w.healthy("f0")
	if w.says("f0") != "two" {
		t.Errorf("a resumed branch runs %q", w.says("f0"))
	}
}

func TestWhatRunsIsKeptWhenItsCommitCannotBeHadAgain(t *testing.T) {
	w := newWorld(t)
	w.git.IgnoreProtocolV2()
	w.branches("one", "f0")
	w.follow()
	w.healthy("f0")
	w.code.CommitFrom("main", "f0", map[string]string{"infra/k8s/app.yaml": "\tno: yaml\n"}, "break")
	w.poll()
	w.becomes("f0", v1alpha1.ReasonFailed)
	w.code.Configure("uploadpack.allowReachableSHA1InWant", "false")
	before := w.uids()
	w.agent.stop()
	w.stores = t.TempDir()
	w.start()
	w.eventually("the status says that drift is not corrected", func() bool { return w.readyMessageHas("f0", "drift is not corrected") })
	if w.says("f0") != "one" || !maps.Equal(before, w.uids()) {
		t.Errorf("the branch runs %q", w.says("f0"))
	}
}

func expiring(r *v1alpha1.Repository) {
	r.Spec.Environments[1].ExpireAfter = duration(72 * time.Hour)
}
