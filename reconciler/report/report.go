// Package report turns outcomes into status, events and metrics; it alone writes the status of both
// kinds.
package report

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
)

// pause is how long the counts of a rollout that goes on are left as they are.
const pause = 5 * time.Second

// Config is what a Reporter is made of.
type Config struct {
	Client   client.Client
	Recorder events.EventRecorder
	Metrics  *Metrics
	// Logs brings the last lines of containers that failed; nil: the status has none.
	Logs *Logs
	Now  func() time.Time
}

// Reporter writes what people and machines read.
type Reporter struct {
	Config
	mu   sync.Mutex
	last map[types.UID]written
}

// written is the last status write of an Environment: what the cache may not have yet.
type written struct {
	at      time.Time
	version string
	status  v1alpha1.EnvironmentStatus
}

// New returns a Reporter.
func New(c Config) *Reporter {
	return &Reporter{Config: c, last: map[types.UID]written{}}
}

// Environment writes an Environment's status if it changed, and the events and metrics of the pass.
// What only counts how far a rollout is, it puts off to spare the API server: then it returns for how
// long.
func (r *Reporter) Environment(ctx context.Context, env *v1alpha1.Environment, o reconciler.Outcome) (time.Duration, error) {
	r.Metrics.observe(env, o)
	r.tellCorrections(env, o)
	r.tellLoss(env, o)
	if o.Again || o.Quiet {
		return 0, nil // the next pass has more to say
	}
	r.renew(env)
	status := environmentStatus(env, o, r.Now())
	r.Logs.add(ctx, env, &status, o)
	if equality.Semantic.DeepEqual(status, env.Status) {
		return 0, nil
	}
	if left := r.left(env.UID); left > 0 && onlyCounts(env.Status, status) {
		return left, nil
	}
	before := env.DeepCopy()
	env.Status = status
	if err := r.Client.Status().Patch(ctx, env, client.MergeFrom(before)); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	r.wrote(env)
	r.tell(before, env)
	return 0, nil
}

// Repository writes a Repository's status if it changed.
func (r *Reporter) Repository(ctx context.Context, repo *v1alpha1.Repository, status v1alpha1.RepositoryStatus) error {
	status.Conditions = conditions(repo.Status.Conditions, status.Conditions, r.Now())
	if equality.Semantic.DeepEqual(status, repo.Status) {
		return nil
	}
	before := repo.DeepCopy()
	repo.Status = status
	if err := r.Client.Status().Patch(ctx, repo, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.tellRepository(before, repo)
	return nil
}

// renew brings an Environment that comes from a late cache up to our own last write: what was said would
// be said again, and what is to be taken back would seem never to have been said.
func (r *Reporter) renew(env *v1alpha1.Environment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.last[env.UID]
	if !ok {
		return
	}
	if order, err := resourceversion.CompareResourceVersion(env.ResourceVersion, last.version); err == nil && order < 0 {
		last.status.DeepCopyInto(&env.Status)
	}
}

// left returns how long the next write that is not urgent is to be put off.
func (r *Reporter) left(uid types.UID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, pause-r.Now().Sub(r.last[uid].at))
}

// wrote notes a write, and forgets those that every cache has by now.
func (r *Reporter) wrote(env *v1alpha1.Environment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	for other, last := range r.last {
		if now.Sub(last.at) > pause {
			delete(r.last, other)
		}
	}
	r.last[env.UID] = written{at: now, version: env.ResourceVersion, status: *env.Status.DeepCopy()}
}

// onlyCounts says whether a status differs only in how many objects are healthy, and why the others are
// not, while the reason stays what it was.
func onlyCounts(before, after v1alpha1.EnvironmentStatus) bool {
	after.Objects, after.Unhealthy = before.Objects, before.Unhealthy
	after.Conditions = append([]metav1.Condition(nil), after.Conditions...)
	if len(after.Conditions) != len(before.Conditions) {
		return false
	}
	for i := range after.Conditions {
		if after.Conditions[i].Reason == before.Conditions[i].Reason {
			after.Conditions[i].Message = before.Conditions[i].Message
		}
	}
	return equality.Semantic.DeepEqual(before, after)
}
