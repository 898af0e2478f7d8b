package environments

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/control"
	"berth.dev/berth/reconciler/fleet"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/report"
	"berth.dev/berth/reconciler/stores"
)

// Controller is the controller of Environments: it reconciles them, and tears down those that are to be deleted.
type Controller struct {
	Config
	slots *branches.Slots
	turns *branches.Turns
	mu    sync.Mutex
	names map[string]types.NamespacedName // by id
	known map[string]remembered           // by name
	ended map[types.UID]string            // the commit of the last sync that came to an end
	waits map[types.UID]string            // the commit that waits for images
	crews *crews
}

// remembered is what to clean up when an Environment is deleted.
type remembered struct {
	reconciler.Environment
	uid types.UID
}

// unavailablePause is how long to wait for something that a pass requires.
const unavailablePause = 30 * time.Second

// Config configures a Controller.
type Config struct {
	Client client.Client
	// Reader reads from the API server, where the cache may be stale.
	Reader client.Reader
	// Fleet has the clusters that environments run in.
	Fleet  *fleet.Fleet
	Stores *stores.Set
	Guard  *branches.Guard
	// Departures stores which Environments will be deleted.
	Departures *branches.Departures
	// Secrets reads the Secrets that entries copy. Keys returns the decrypters of entries (nil: none).
	Secrets Secrets
	Keys    Keys
	// Installation is the random id of this installation of Berth. Agent is the agent's name: Environments of other agents'
	// entries are left alone.
	Installation, Agent string
	// SyncAtOnce is the maximum number of environments that sync at the same time; 0: no limit.
	SyncAtOnce int
	// Report writes an Environment's status, events and metrics. It may delay what is not urgent, and then returns for how
	// long.
	Report func(ctx context.Context, env *v1alpha1.Environment, s report.Standing) (time.Duration, error)
	// Recall updates an Environment's status from the cache to what Report last wrote.
	Recall func(env *v1alpha1.Environment)
	// Gone drops what Report keeps of an Environment that no longer exists.
	Gone func(env *v1alpha1.Environment)
	// Pulse shows that the controller makes progress.
	Pulse *control.Pulse
	// Requeue requeues an Environment.
	Requeue func(types.NamespacedName)
	Now     func() time.Time
	Log     *slog.Logger
}

// New returns the controller of Environments.
func New(c Config) *Controller {
	e := &Controller{
		Config: c,
		slots:  branches.NewSlots(),
		turns:  branches.NewTurns(c.SyncAtOnce),
		names:  map[string]types.NamespacedName{},
		known:  map[string]remembered{},
		ended:  map[types.UID]string{},
		waits:  map[types.UID]string{},
	}
	e.crews = newCrews(e.reconcile, c.Log)
	return e
}

// Name returns the Environment whose objects have this id in their label.
func (e *Controller) Name(id string) (types.NamespacedName, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name, ok := e.names[id]
	return name, ok
}

// Reconcile reconciles one Environment, or leaves that to the crew of its cluster: the trouble of one cluster delays no other.
func (e *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	cluster, err := e.clusterOf(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	if cluster != "" {
		return ctrl.Result{}, e.crews.hand(cluster, req)
	}
	return e.reconcile(ctx, cluster, req)
}

// reconcile reconciles an Environment in the queue of a cluster. If the Environment was re-created in another cluster since, it
// is in the queue of that one, too: two passes of one environment must not overlap.
func (e *Controller) reconcile(ctx context.Context, cluster string, req ctrl.Request) (ctrl.Result, error) {
	env := &v1alpha1.Environment{}
	if err := e.Client.Get(ctx, req.NamespacedName, env); err != nil {
		if apierrors.IsNotFound(err) {
			e.left(ctx, req.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	if env.Spec.Cluster != cluster {
		return ctrl.Result{}, nil
	}
	e.Recall(env)
	if name := branches.Name(env.Spec); name != env.Name {
		return e.disown(ctx, env, name)
	}
	if !env.DeletionTimestamp.IsZero() {
		return e.teardown(ctx, env)
	}
	passes, why, err := e.passesOf(ctx, env)
	if passes == nil || err != nil {
		return e.apart(ctx, env, why, err)
	}
	settings, why, err := e.settings(ctx, env)
	switch {
	case err != nil:
		return ctrl.Result{}, err
	case why != "":
		e.pause(req.NamespacedName)
		return e.hold(ctx, env, why)
	case settings == nil:
		e.pause(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	e.remember(env, settings.Environment)
	if goes, err := e.expires(ctx, env, settings); err != nil {
		return ctrl.Result{}, err
	} else if goes {
		return e.expire(ctx, passes, env, settings)
	}
	if why, err := e.admit(ctx, env, settings); err != nil {
		return ctrl.Result{}, err
	} else if why != "" {
		settings.life.Stage, settings.life.Message = report.Queued, why
		return e.conclude(ctx, env, report.Standing{Life: settings.life})
	}
	started := e.Now()
	outcome := passes.Pass(ctx, settings.Environment)
	outcome.Deadline = earliest(outcome.Deadline, settings.expiry.Next)
	took := e.Now().Sub(started)
	e.log(ctx, settings.Environment, outcome, took)
	e.endTurn(env, settings.Commit, outcome)
	return e.conclude(ctx, env, report.Standing{
		Life: settings.life, Outcome: outcome, Took: took, Fetched: e.Stores.Took(settings.Repository, settings.Commit), Link: settings.link, ShowLogs: !settings.literal,
	})
}

// disown removes the finalizer of an Environment whose name does not follow from its branch, and tears nothing down: the
// objects belong to the Environment with the right name.
func (e *Controller) disown(ctx context.Context, env *v1alpha1.Environment, name string) (ctrl.Result, error) {
	if !env.DeletionTimestamp.IsZero() {
		e.Log.Warn("releasing an Environment without a teardown, because its name does not follow from its branch", "environment", env.Name, "wants", name)
		return ctrl.Result{}, e.release(ctx, env)
	}
	why := fmt.Sprintf("this Environment is ignored: the one of the branch %s must be named %s, and two would delete each other's objects; delete this one: kubectl delete environment %s -n %s",
		env.Spec.Branch, name, env.Name, env.Namespace)
	return e.hold(ctx, env, why)
}

// hold reports why an Environment is not reconciled.
func (e *Controller) hold(ctx context.Context, env *v1alpha1.Environment, why string) (ctrl.Result, error) {
	return e.conclude(ctx, env, report.Standing{Life: report.Life{Stage: report.Held, Message: why}})
}

// conclude reports the outcome, and returns when the next pass is due.
func (e *Controller) conclude(ctx context.Context, env *v1alpha1.Environment, s report.Standing) (ctrl.Result, error) {
	o := s.Outcome
	if o.Quiet() && o.Err != nil {
		// The Repository's condition shows the error. The end of the error requeues this Environment.
		e.Log.Debug("nothing can be judged", "environment", env.Name, "error", o.Err)
		return ctrl.Result{RequeueAfter: unavailablePause}, nil
	}
	repo := &v1alpha1.Repository{}
	_ = e.Client.Get(ctx, types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}, repo) // it may be gone
	s.Preview = naming.IsPreview(repo, env)
	putOff, err := e.Report(ctx, env, s)
	if err := errors.Join(err, o.Err); err != nil {
		return ctrl.Result{}, fmt.Errorf("the environment %s: %w", env.Name, err)
	}
	result := ctrl.Result{RequeueAfter: putOff}
	if o.Again {
		result.RequeueAfter = time.Nanosecond
	}
	if !o.Deadline.IsZero() {
		if wait := max(o.Deadline.Sub(e.Now()), time.Millisecond); result.RequeueAfter == 0 || wait < result.RequeueAfter {
			result.RequeueAfter = wait
		}
	}
	return result, nil
}

// earliest returns the earlier of two times. A zero time means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// log writes one line for a pass that changed something.
func (e *Controller) log(ctx context.Context, of reconciler.Environment, o reconciler.Outcome, took time.Duration) {
	if len(o.Results) == 0 {
		return
	}
	done := map[string]int{}
	for _, r := range o.Results {
		if r.Harmless() {
			continue // it is allowed to stay, or the next pass reports it
		}
		if r.Err != nil {
			level := slog.LevelWarn
			if r.Repeated {
				level = slog.LevelDebug
			}
			e.Log.Log(ctx, level, "the cluster refused", "environment", of.Name, "commit", of.Commit, "object", r.Step.Key.String(), "action", string(r.Step.Action), "error", r.Err.Message)
			continue
		}
		done[string(r.Done)]++
	}
	if len(done) == 0 {
		return
	}
	attributes := []any{"environment", of.Name, "commit", of.Commit, "state", string(o.State()), "took", took.Round(time.Millisecond)}
	for _, action := range []string{"created", "changed", "corrected", "replaced", "deleted"} {
		if n := done[action]; n > 0 {
			attributes = append(attributes, action, n)
		}
	}
	e.Log.Info("passed", attributes...)
}

func (e *Controller) remember(env *v1alpha1.Environment, as reconciler.Environment) {
	e.mu.Lock()
	was, known := e.known[env.Name]
	e.names[as.ID], e.known[env.Name] = client.ObjectKeyFromObject(env), remembered{Environment: as, uid: env.UID}
	e.mu.Unlock()
	if known && was.Cluster != as.Cluster {
		e.forget(was) // it was re-created in another cluster before its end there was noticed
	}
}
