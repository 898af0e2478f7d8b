package environments

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/control"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/report"
)

// breath is how long a teardown waits after a user deleted an Environment. A user may delete many one after the other, and
// the deletion guard has to see them together.
const breath = 3 * time.Second

// teardown advances the deletion of an Environment by one step, without blocking, and removes the finalizer after the last
// one.
func (e *Controller) teardown(ctx context.Context, env *v1alpha1.Environment) (ctrl.Result, error) {
	e.pause(client.ObjectKeyFromObject(env))
	if !controllerutil.ContainsFinalizer(env, v1alpha1.FinalizerTeardown) {
		return ctrl.Result{}, nil // only finalizers of others remain
	}
	if !branches.Begun(env) {
		if going, err := control.KindIsGoing(ctx, e.Reader, "environments"); err != nil {
			return ctrl.Result{}, err
		} else if going {
			e.Log.Warn("nothing is torn down, because the kind Environment is being deleted", "environment", env.Name)
			return ctrl.Result{}, e.release(ctx, env)
		}
		if wait, why, err := e.held(ctx, env); wait > 0 || why != "" || err != nil {
			result := ctrl.Result{RequeueAfter: wait}
			if why != "" {
				result, err = e.hold(ctx, env, why)
			}
			return result, err
		}
	}
	passes, why, err := e.passesOf(ctx, env)
	if passes == nil || err != nil {
		return e.apart(ctx, env, why, err)
	}
	outcome := e.tearDownObjects(ctx, passes, env)
	if !isGone(outcome) {
		return e.conclude(ctx, env, report.Standing{Life: report.Life{Stage: report.Deleting}, Outcome: e.progress(ctx, passes, env, outcome)})
	}
	e.Log.Info("the environment is gone", "environment", env.Name, "namespace", env.Spec.Namespace)
	return ctrl.Result{}, e.release(ctx, env)
}

// held reports whether the teardown has to wait, either briefly or until a user confirms it.
func (e *Controller) held(ctx context.Context, env *v1alpha1.Environment) (time.Duration, string, error) {
	if e.Guard.Allowed(env) || branches.ConfirmedBy(env) || branches.IsReason(env, v1alpha1.ReasonExpired) && !e.hasNamespace(env) {
		return 0, "", nil
	}
	if left := breath - e.Guard.DeletedFor(env, e.Now()); left > 0 {
		return left, "", nil
	}
	have, err := e.ofRepository(ctx, client.ObjectKeyFromObject(env), env.Spec.Repository)
	if err != nil {
		return 0, "", err
	}
	if n := branches.Count(have, nil, e.Now()); n.BlocksDeletions() {
		return 0, n.Blocked(env.Spec.Repository), nil
	}
	e.Guard.Allow(env)
	return 0, "", nil
}

func (e *Controller) tearDownObjects(ctx context.Context, passes *reconciler.Reconciler, env *v1alpha1.Environment) reconciler.Outcome {
	going := identityOf(env, e.Installation)
	e.bound(ctx, env, &going)
	e.remember(env, going)
	started := e.Now()
	outcome := passes.Teardown(ctx, going)
	e.log(ctx, going, outcome, e.Now().Sub(started))
	return outcome
}

// isGone reports whether the teardown is complete.
func isGone(o reconciler.Outcome) bool {
	t, ok := o.Finding.(reconciler.TornDown)
	return ok && t.Gone
}

// bound adds what the entry says about a teardown: its scope, and the kinds that may hold decrypted values. Without its
// entry, an Environment is confined to its namespace: outside, only what its record lists is deleted.
func (e *Controller) bound(ctx context.Context, env *v1alpha1.Environment, going *reconciler.Environment) {
	repo := &v1alpha1.Repository{}
	if err := e.Client.Get(ctx, types.NamespacedName{Namespace: env.Namespace, Name: env.Spec.Repository}, repo); err != nil {
		return // the cache answers, and cannot fail
	}
	entry := naming.EntryOf(repo, env)
	if entry == nil {
		return
	}
	if entry.Scope == v1alpha1.ScopeCluster {
		going.Scope = reconciler.Cluster
	}
	if entry.Decryption != nil {
		going.DecryptedKinds = entry.Decryption.Kinds
	}
}

// A namespace that is being deleted is checked soon while the cluster does not report what blocks it, and seldom afterwards.
const (
	soon   = time.Second
	seldom = time.Minute
)

// progress adds what the cluster reports about a namespace that is still being deleted. Watches show only that it exists.
func (e *Controller) progress(ctx context.Context, passes *reconciler.Reconciler, env *v1alpha1.Environment, o reconciler.Outcome) reconciler.Outcome {
	t, ok := o.Finding.(reconciler.TornDown)
	if !ok || t.Gone || len(o.Results) > 0 {
		return o
	}
	ns, err := passes.Cluster.ReadNamespace(ctx, env.Spec.Namespace)
	if err != nil || ns.DeletionTimestamp.IsZero() {
		return o // the watch requeues it
	}
	again := soon
	if why := health.Remaining(ns.Status.Conditions); why != "" {
		t.Message, again = fmt.Sprintf("Namespace/%s is being deleted: %s", ns.Name, why), seldom
		for _, p := range t.Left {
			if p.Key.Namespace != "" {
				t.Message += fmt.Sprintf("; %s: %s", p.Key.Short(), p.Health.Message)
			}
		}
	}
	o.Finding, o.Deadline = t, earliest(o.Deadline, e.Now().Add(again))
	return o
}

func (e *Controller) release(ctx context.Context, env *v1alpha1.Environment) error {
	before := env.DeepCopy()
	controllerutil.RemoveFinalizer(env, v1alpha1.FinalizerTeardown)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(e.Client.Patch(ctx, env, patch))
}

// expire tears down the objects of an Environment. The Environment stays until its branch moves or is gone.
func (e *Controller) expire(ctx context.Context, passes *reconciler.Reconciler, env *v1alpha1.Environment, s *settings) (ctrl.Result, error) {
	e.pause(client.ObjectKeyFromObject(env))
	outcome, expired := reconciler.Outcome{}, true
	if !branches.IsReason(env, v1alpha1.ReasonExpired) || e.hasNamespace(env) {
		outcome = e.progress(ctx, passes, env, e.tearDownObjects(ctx, passes, env))
		expired = isGone(outcome)
	}
	s.life.Stage = report.Expiring
	if expired {
		s.life.Stage, outcome.Finding = report.Expired, nil
		s.life.Message = "the branch was unused, so its namespace was deleted; to re-create it, push"
	}
	had := !branches.IsReason(env, v1alpha1.ReasonExpired)
	result, err := e.conclude(ctx, env, report.Standing{Life: s.life, Outcome: outcome})
	if expired && had && err == nil {
		e.vacated(ctx, client.ObjectKeyFromObject(env), remembered{Environment: s.Environment, uid: env.UID})
	}
	return result, err
}

// left drops the state of an Environment that no longer exists.
func (e *Controller) left(ctx context.Context, name types.NamespacedName) {
	e.mu.Lock()
	env, ok := e.known[name.Name]
	delete(e.known, name.Name)
	if e.names[env.ID] == name {
		delete(e.names, env.ID)
	}
	delete(e.ended, env.uid)
	delete(e.waits, env.uid)
	e.mu.Unlock()
	e.Guard.Forget(name.Name)
	if ok {
		e.forget(env)
		e.Fleet.Tidy(ctx)
		e.Gone(&v1alpha1.Environment{
			ObjectMeta: metav1.ObjectMeta{Name: name.Name, Namespace: name.Namespace, UID: env.uid},
			Spec:       v1alpha1.EnvironmentSpec{Repository: env.Repository, Entry: env.Entry},
		})
		e.vacated(ctx, name, env)
	}
}
