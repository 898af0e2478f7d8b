package agent

import (
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

func TestATeardownThatIsStuckHoldsNoTurn(t *testing.T) {
	w := newWorld(t)
	w.agent.stop()
	w.syncAtOnce = 1
	w.start()
	w.code.CommitFrom("main", "f0", map[string]string{"infra/k8s/slow.yaml": pendingPod}, "never ready")
	w.follow()
	w.becomes("f0", v1alpha1.ReasonSyncing)
	w.branches("one", "f1")
	w.poll()
	w.becomes("f1", v1alpha1.ReasonQueued)
	w.block("f0")
	if err := w.client.Delete(t.Context(), w.environment("f0")); err != nil {
		t.Fatal(err)
	}
	w.healthy("f1")
	stuck := w.space("f0")
	if stuck == nil {
		t.Fatal("the teardown was to be stuck")
	}
	w.unblock("f0")
	w.eventually("f0 is re-created, because its branch exists", func() bool {
		ns := w.space("f0")
		return ns != nil && ns.UID != stuck.UID
	})
}
