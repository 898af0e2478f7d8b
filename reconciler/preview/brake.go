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
	of map[string]departure // by the Environment's name
}

// departure is what is remembered of an Environment that may be taken down.
type departure struct {
	uid types.UID
	// noticed is when this process first saw that somebody had deleted it.
	noticed time.Time
	// free says that it was let through, and done what was last done on it then: one that expires is held again once
	// somebody has touched it.
	free bool
	done string
}

// NewBrake returns a Brake that has let nothing through yet.
func NewBrake() *Brake { return &Brake{of: map[string]departure{}} }

// deletedFor returns for how long an Environment has been seen to be deleted. The API server's clock, which says when it
// was, may be another than the agent's.
func (b *Brake) deletedFor(env *v1alpha1.Environment, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.get(env)
	if d.noticed.IsZero() {
		d.noticed = now
		b.of[env.Name] = d
	}
	return now.Sub(d.noticed)
}

// release lets an Environment through.
func (b *Brake) release(env *v1alpha1.Environment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.get(env)
	d.free, d.done = true, activity(env)
	b.of[env.Name] = d
}

// released says whether an Environment was let through, and nobody has given it another life since.
func (b *Brake) released(env *v1alpha1.Environment) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.get(env)
	return d.free && (!env.DeletionTimestamp.IsZero() || d.done == activity(env))
}

// get returns what is remembered of an Environment, and not of an earlier one of its name.
func (b *Brake) get(env *v1alpha1.Environment) departure {
	if d := b.of[env.Name]; d.uid == env.UID {
		return d
	}
	return departure{uid: env.UID}
}

// forget drops an Environment that is gone.
func (b *Brake) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.of, name)
}
