package preview

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1alpha1"
)

// The brake of a repository: more than brakeCount environments and more than brakePercent of all that it
// has are taken down at once only after somebody confirmed it, whatever it is that wants them gone.
const (
	brakeCount   = 3
	brakePercent = 30
)

func tooMany(going, total int) bool {
	return going > brakeCount && going*100 > brakePercent*total
}

// leaving counts the Environments that are being deleted and that something is torn down for.
func leaving(have []v1alpha1.Environment) (n int) {
	for i := range have {
		if isLeaving(&have[i]) {
			n++
		}
	}
	return n
}

func isLeaving(env *v1alpha1.Environment) bool {
	return !env.DeletionTimestamp.IsZero() && controllerutil.ContainsFinalizer(env, v1alpha1.FinalizerTeardown)
}

// begun says whether the teardown of an Environment was let through before, perhaps by an agent that has
// been restarted since: there is no way back from the middle of it.
func begun(env *v1alpha1.Environment) bool { return isReason(env, v1alpha1.ReasonDeleting) }

// isReason says whether the reason of Ready, as it was last told, is this one.
func isReason(env *v1alpha1.Environment, reason string) bool {
	ready := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == reason
}

// confirmedBy says whether somebody lets this Environment go, one by one.
func confirmedBy(env *v1alpha1.Environment) bool {
	return pending(env, v1alpha1.AnnotationConfirmed, env.Status.HandledConfirmation)
}

// held words why nothing goes, and how it does.
func held(going, total int, repository string) string {
	return fmt.Sprintf("nothing is taken down, for %d of %d environments would be at once; if that is meant: berth confirm --repository %s",
		going, total, repository)
}

// Brake knows which Environments may be torn down. It is shared by both controllers.
type Brake struct {
	mu   sync.Mutex
	free map[types.UID]bool
}

// NewBrake returns a Brake that has let nothing through yet.
func NewBrake() *Brake { return &Brake{free: map[types.UID]bool{}} }

// release lets an Environment through.
func (b *Brake) release(uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free[uid] = true
}

func (b *Brake) released(uid types.UID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free[uid]
}

// forget drops an Environment that is gone.
func (b *Brake) forget(uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.free, uid)
}
