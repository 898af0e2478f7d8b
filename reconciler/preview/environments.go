package preview

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
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
)

// Environments passes over Environments, and takes down those that are to go. It is the controller of
// Environments.
type Environments struct {
	EnvironmentsConfig
	mu    sync.Mutex
	names map[string]types.NamespacedName   // by id
	known map[string]reconciler.Environment // by name
}

// unavailablePause is how long to wait for what a pass cannot do without.
const unavailablePause = 30 * time.Second

// EnvironmentsConfig is what Environments is made of.
type EnvironmentsConfig struct {
	Client     client.Client
	Reconciler *reconciler.Reconciler
	Stores     *Stores
	// Installation is the random id of this installation of Berth.
	Installation string
	// Report writes an Environment's status, events and metrics. It may put off what is not urgent: then
	// it says for how long.
	Report func(ctx context.Context, env *v1alpha1.Environment, o reconciler.Outcome) (time.Duration, error)
	Now    func() time.Time
	Log    *slog.Logger
}

// NewEnvironments returns the controller of Environments.
func NewEnvironments(c EnvironmentsConfig) *Environments {
	return &Environments{EnvironmentsConfig: c, names: map[string]types.NamespacedName{}, known: map[string]reconciler.Environment{}}
}

// Name returns the Environment whose objects bear an id.
func (e *Environments) Name(id string) (types.NamespacedName, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name, ok := e.names[id]
	return name, ok
}

// Reconcile passes over one Environment once.
func (e *Environments) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	env := &v1alpha1.Environment{}
	if err := e.Client.Get(ctx, req.NamespacedName, env); err != nil {
		if apierrors.IsNotFound(err) {
			e.forget(req.Name)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	if !env.DeletionTimestamp.IsZero() {
		return e.teardown(ctx, env)
	}
	settings, err := e.settings(ctx, env)
	if err != nil || settings == nil {
		return ctrl.Result{}, err
	}
	e.remember(req.NamespacedName, settings.Environment)
	started := e.Now()
	outcome := e.Reconciler.Pass(ctx, settings.Environment)
	outcome.Link = settings.link
	e.log(outcome, e.Now().Sub(started))
	return e.conclude(ctx, env, outcome)
}

// settings returns what a pass has to know, or nothing while the Repository or its entry is missing:
// what runs is then left alone.
func (e *Environments) settings(ctx context.Context, env *v1alpha1.Environment) (*settings, error) {
	repo := &v1alpha1.Repository{}
	err := e.Client.Get(ctx, types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}, repo)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if !e.Stores.Has(repo.Name) {
		return nil, nil // the Repository wakes its Environments once it can be read
	}
	for i := range repo.Spec.Environments {
		if entry := &repo.Spec.Environments[i]; entry.Name == env.Spec.Entry {
			return settingsOf(env, repo, entry, e.Installation)
		}
	}
	return nil, nil
}

// teardown takes an Environment one step towards being gone, and lets go of it when it is.
func (e *Environments) teardown(ctx context.Context, env *v1alpha1.Environment) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(env, v1alpha1.FinalizerTeardown) {
		e.forget(env.Name)
		return ctrl.Result{}, nil
	}
	going := identityOf(env, e.Installation)
	e.remember(client.ObjectKeyFromObject(env), going)
	started := e.Now()
	outcome := e.Reconciler.Teardown(ctx, going)
	e.log(outcome, e.Now().Sub(started))
	if !outcome.Gone {
		return e.conclude(ctx, env, outcome)
	}
	before := env.DeepCopy()
	controllerutil.RemoveFinalizer(env, v1alpha1.FinalizerTeardown)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := e.Client.Patch(ctx, env, patch); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	e.Log.Info("the environment is gone", "environment", env.Name, "namespace", env.Spec.Namespace)
	return ctrl.Result{}, nil
}

// conclude reports, and says when the next pass is due.
func (e *Environments) conclude(ctx context.Context, env *v1alpha1.Environment, o reconciler.Outcome) (ctrl.Result, error) {
	if o.Quiet && o.Err != nil {
		// The Repository's condition tells, and wakes this Environment when it has passed.
		e.Log.Debug("nothing can be judged", "environment", env.Name, "error", o.Err)
		return ctrl.Result{RequeueAfter: unavailablePause}, nil
	}
	putOff, err := e.Report(ctx, env, o)
	if err := errors.Join(err, o.Err); err != nil {
		return ctrl.Result{}, fmt.Errorf("Environment/%s: %w", env.Name, err)
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

// log writes one line for a pass that did something.
func (e *Environments) log(o reconciler.Outcome, took time.Duration) {
	if len(o.Results) == 0 {
		return
	}
	done := map[string]int{}
	for _, r := range o.Results {
		if r.Err != nil {
			e.Log.Warn("the cluster refused", "environment", o.Environment, "commit", o.Commit, "object", r.Step.Key.String(), "action", string(r.Step.Action), "error", r.Err.Message)
			continue
		}
		done[string(r.Done)]++
	}
	attributes := []any{"environment", o.Environment, "commit", o.Commit, "state", string(o.State), "took", took.Round(time.Millisecond)}
	for _, action := range []string{"created", "changed", "corrected", "replaced", "deleted"} {
		if n := done[action]; n > 0 {
			attributes = append(attributes, action, n)
		}
	}
	e.Log.Info("passed", attributes...)
}

func (e *Environments) remember(name types.NamespacedName, env reconciler.Environment) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.names[env.ID], e.known[name.Name] = name, env
}

func (e *Environments) forget(name string) {
	e.mu.Lock()
	env, ok := e.known[name]
	delete(e.known, name)
	delete(e.names, env.ID)
	e.mu.Unlock()
	if ok {
		e.Reconciler.Forget(env)
	}
}
