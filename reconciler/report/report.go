// Package report turns outcomes into status, events and metrics. Only this package writes the status of both kinds.
package report

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/plan"
)

// pause is the minimum time between two updates of a rollout's counts.
const pause = 5 * time.Second

// Config has the dependencies of a Reporter.
type Config struct {
	Client   client.Client
	Recorder events.EventRecorder
	Metrics  *Metrics
	// Logs fetches the last lines of failed containers; nil: the status has none.
	Logs *Logs
	// Changed is called after an Environment's status changed; nil: nothing is.
	Changed func(env *v1alpha1.Environment)
	// Feedback returns a Repository's condition Feedback; nil: it stays as it is.
	Feedback func(repo *v1alpha1.Repository) *metav1.Condition
	Now      func() time.Time
	// Log receives a line for each sync that ended; nil: silent.
	Log *slog.Logger
}

// Reporter writes what users and programs read.
type Reporter struct {
	Config
	environments writes[v1alpha1.EnvironmentStatus]
	repositories writes[v1alpha1.RepositoryStatus]
	mu           sync.Mutex
	dips         map[types.UID]time.Time // since when a healthy environment has had fewer healthy objects
}

// New returns a Reporter.
func New(c Config) *Reporter {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Changed == nil {
		c.Changed = func(*v1alpha1.Environment) {}
	}
	if c.Feedback == nil {
		c.Feedback = func(*v1alpha1.Repository) *metav1.Condition { return nil }
	}
	return &Reporter{Config: c, dips: map[types.UID]time.Time{}}
}

// Environment writes an Environment's status if it changed, and the events and metrics of the pass. To spare the API
// server, it delays a status that only updates a rollout's counts. It then returns the delay.
func (r *Reporter) Environment(ctx context.Context, env *v1alpha1.Environment, s Standing) (time.Duration, error) {
	r.Metrics.count(env, s)
	for _, e := range incidents(s) {
		r.say(env, e)
	}
	if s.Outcome.Again || s.Outcome.Quiet() {
		return 0, nil // the next pass reports more
	}
	r.Metrics.judge(env, s)
	r.Recall(env)
	status := environmentStatus(env, s, r.Now())
	r.Logs.add(ctx, env, &status, s)
	r.Metrics.stand(env, status)
	if equality.Semantic.DeepEqual(status, env.Status) {
		r.rose(env.UID)
		return 0, nil
	}
	if state := s.Outcome.State(); canWait(env.Status, status, state) {
		if left := r.left(env, state); left > 0 {
			return left, nil
		}
	}
	before := env.DeepCopy()
	env.Status = status
	if err := r.Client.Status().Patch(ctx, env, client.MergeFrom(before)); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	r.environments.wrote(env, env.Status.DeepCopy(), r.Now())
	r.rose(env.UID)
	r.tell(env, Transitions(before.Status, env.Status))
	r.Changed(env)
	return 0, nil
}

// Repository writes a Repository's status if it changed.
func (r *Reporter) Repository(ctx context.Context, repo *v1alpha1.Repository, status v1alpha1.RepositoryStatus) error {
	if newer := r.repositories.unseen(repo); newer != nil {
		newer.DeepCopyInto(&repo.Status)
	}
	status.Conditions = conditions(repo.Status.Conditions, r.withFeedback(repo, status.Conditions), r.Now())
	r.Metrics.follow(repo, status)
	if equality.Semantic.DeepEqual(status, repo.Status) {
		return nil
	}
	before := repo.DeepCopy()
	repo.Status = status
	if err := r.Client.Status().Patch(ctx, repo, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.repositories.wrote(repo, repo.Status.DeepCopy(), r.Now())
	for _, e := range repositoryEvents(before.Status, repo.Status) {
		r.say(repo, e)
	}
	return nil
}

// Recall updates the status of an Environment from a stale cache to what was last written.
func (r *Reporter) Recall(env *v1alpha1.Environment) {
	if newer := r.environments.unseen(env); newer != nil {
		newer.DeepCopyInto(&env.Status)
	}
}

// Forget drops everything that is remembered about a deleted Environment.
func (r *Reporter) Forget(env *v1alpha1.Environment) {
	r.Metrics.forget(env)
	r.Logs.forget(env.UID)
	r.rose(env.UID)
}

// left returns how long to delay a write that only updates counts. The status shows the progress of a rollout at most
// once per pause. It does not show drift that is corrected within a pause.
func (r *Reporter) left(env *v1alpha1.Environment, state plan.State) time.Duration {
	now := r.Now()
	wait := pause - r.environments.since(env.UID, now)
	if state == plan.Settled {
		r.mu.Lock()
		defer r.mu.Unlock()
		since, fell := r.dips[env.UID]
		if !fell {
			since, r.dips[env.UID] = now, now
		}
		wait = max(wait, pause-now.Sub(since))
	}
	return max(0, wait)
}

// rose records that the reported state of an Environment is current.
func (r *Reporter) rose(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.dips, uid)
}

// canWait reports whether a write may be delayed: it only updates counts. The first log of an object is more than that, unless
// the environment is healthy: it says why the sync fails.
func canWait(before, after v1alpha1.EnvironmentStatus, state plan.State) bool {
	return onlyCounts(before, after) && (state == plan.Settled || !hasNewLog(before.Unhealthy, after.Unhealthy))
}

// onlyCounts reports whether only the number of healthy objects, and the problems of the others, differ. The reasons of
// the conditions are the same.
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

// hasNewLog reports whether an object has a log that had none before.
func hasNewLog(before, after []v1alpha1.UnhealthyObject) bool {
	return slices.ContainsFunc(after, func(o v1alpha1.UnhealthyObject) bool {
		had := func(b v1alpha1.UnhealthyObject) bool {
			return b.Kind == o.Kind && b.Namespace == o.Namespace && b.Name == o.Name && b.Log != ""
		}
		return o.Log != "" && !slices.ContainsFunc(before, had)
	})
}
