package apply

import (
	"strings"
	"testing"

	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

const (
	expandable = "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: NS}, provisioner: example.com/disk, allowVolumeExpansion: true}"
	disk       = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: disk, namespace: NS}, spec: {storageClassName: NS, volumeName: disk, accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}}"
)

// bound creates a claim that has a volume of its size.
func (w *world) bound(text string) *observed.Object {
	w.created(expandable)
	w.created(text)
	w.patchAs("kube-controller-manager", text, `{"status":{"phase":"Bound","capacity":{"storage":"10Gi"},"accessModes":["ReadWriteOnce"]}}`, "status")
	return w.seen(text)
}

// An enlarged claim blocks neither its own other changes nor those of other objects.
func TestAnEnlargedClaimIsLeft(t *testing.T) {
	w := newWorld(t)
	if live := w.bound(disk); live.Enlarged != "" {
		t.Errorf("our own size passes for another's: %q", live.Enlarged)
	}
	w.patchAs("kubectl-edit", disk, `{"spec":{"resources":{"requests":{"storage":"30Gi"}}}}`)
	w.patchAs("kube-controller-manager", disk, `{"status":{"capacity":{"storage":"30Gi"}}}`, "status")
	live := w.seen(disk)
	if live.Enlarged != "30Gi" || live.Added != nil {
		t.Fatalf("it is %q, and %v was added", live.Enlarged, live.Added)
	}
	s := w.step(plan.Change, with(disk, "name: disk, namespace", "name: disk, labels: {tier: db}, namespace"), live)
	s.Leave = []string{"spec.resources.requests.storage"}
	if r := w.applier.Validate(t.Context(), w.target, []plan.Step{s})[0]; r.Err != nil {
		t.Errorf("validated, it is refused: %v", r.Err)
	}
	w.must(Changed, w.run(s)[0])
	obj := w.look(disk)
	if size := field(t, obj, "spec", "resources", "requests", "storage"); size != "30Gi" || obj.GetLabels()["tier"] != "db" {
		t.Errorf("it is %v with the labels %v", size, obj.GetLabels())
	}
	larger := with(disk, "10Gi", "40Gi")
	if live := w.must(Changed, w.do(plan.Change, larger, w.seen(disk))); live.Enlarged != "" {
		t.Error("the larger size in Git is not ours")
	}
}

// A correction that changes nothing is not reported, whoever has written the object since.
func TestWhatIsLeftAloneIsNotCorrected(t *testing.T) {
	for name, since := range map[string]func(*world){
		"at once": func(*world) {},
		"after its resizing": func(w *world) {
			w.patchAs("kube-controller-manager", disk, `{"status":{"capacity":{"storage":"30Gi"}}}`, "status")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.bound(disk)
			w.patchAs("kubectl-edit", disk, `{"spec":{"resources":{"requests":{"storage":"30Gi"}}}}`)
			s := w.step(plan.Correct, disk, w.seen(disk))
			s.Leave = []string{"spec.resources.requests.storage"}
			since(w)
			w.must(Unchanged, w.run(s)[0])
		})
	}
}

func TestAClaimThatShrinksInGitIsRefused(t *testing.T) {
	w := newWorld(t)
	r := w.classed(Immutable, w.do(plan.Change, with(disk, "10Gi", "5Gi"), w.bound(disk)))
	const want = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity; revert the change in Git; Berth does not delete what holds data to change it"
	if !strings.Contains(r.Err.Message, want) {
		t.Errorf("it says %s", r.Err.Message)
	}
}
