package preview

import (
	"fmt"
	"sync"
	"time"

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
func leaving(have []v1alpha1.Environment, now time.Time) (n int) {
	for i := range have {
		if isLeaving(&have[i]) && !stuck(&have[i], now) {
			n++
		}
	}
	return n
}

// stuckAfter is for how long an Environment that is being taken down counts for the brake, which is to see those that
// go one after the other. Whatever keeps it from going after that, nobody else is to wait for it.
const stuckAfter = 10 * time.Minute

func stuck(env *v1alpha1.Environment, now time.Time) bool {
	return isLeaving(env) && begun(env) && now.Sub(env.DeletionTimestamp.Time) > stuckAfter
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

// standing counts the Environments of which something is left to lose.
func standing(have []v1alpha1.Environment, now time.Time) (n int) {
	for i := range have {
		if stands(&have[i]) && !stuck(&have[i], now) {
			n++
		}
	}
	return n
}

// stands says whether there is anything to lose of an Environment: not if it has expired, or is queued for its
// first sync.
func stands(env *v1alpha1.Environment) bool {
	queued := isReason(env, v1alpha1.ReasonQueued) && env.Status.AppliedCommit == ""
	return !queued && !isReason(env, v1alpha1.ReasonExpired)
}

// Brake knows which Environments may be taken down. It is shared by both controllers.
type Brake struct {
	mu sync.Mutex
	// free has what was last done on an Environment when it was let through: one that expires is held
	// again once somebody has touched it.
	free map[types.UID]string
}

// NewBrake returns a Brake that has let nothing through yet.
func NewBrake() *Brake { return &Brake{free: map[types.UID]string{}} }

// release lets an Environment through.
func (b *Brake) release(env *v1alpha1.Environment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free[env.UID] = activity(env)
}

// released says whether an Environment was let through, and nobody has given it another life since.
func (b *Brake) released(env *v1alpha1.Environment) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, ok := b.free[env.UID]
	return ok && (!env.DeletionTimestamp.IsZero() || last == activity(env))
}

// forget drops an Environment that is gone.
func (b *Brake) forget(uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.free, uid)
}
