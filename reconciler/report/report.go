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
	last map[types.UID]time.Time // of the last status write
}

// New returns a Reporter.
func New(c Config) *Reporter {
	return &Reporter{Config: c, last: map[types.UID]time.Time{}}
}

// Environment writes an Environment's status if it changed, and the events and metrics of the pass.
// What only counts how far a rollout is, it puts off to spare the API server: then it returns for how
// long.
func (r *Reporter) Environment(ctx context.Context, env *v1alpha1.Environment, o reconciler.Outcome) (time.Duration, error) {
	r.Metrics.observe(env, o)
	r.tellCorrections(env, o)
	if o.Again || o.Quiet {
		return 0, nil // the next pass has more to say
	}
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
	r.wrote(env.UID)
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

// left returns how long the next write that is not urgent is to be put off.
func (r *Reporter) left(uid types.UID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, pause-r.Now().Sub(r.last[uid]))
}

func (r *Reporter) wrote(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	for other, at := range r.last {
		if now.Sub(at) > pause {
			delete(r.last, other)
		}
	}
	r.last[uid] = now
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
