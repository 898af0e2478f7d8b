package environments

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/report"
)

// clusterOf returns the cluster of an Environment, or of one that no longer exists.
func (e *Controller) clusterOf(ctx context.Context, name types.NamespacedName) (string, error) {
	env := &v1alpha1.Environment{}
	err := e.Client.Get(ctx, name, env)
	if apierrors.IsNotFound(err) {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.known[name.Name].Cluster, nil
	}
	return env.Spec.Cluster, err
}

// passesOf returns the Reconciler of an Environment's cluster. If the environment cannot be reconciled there now, it returns nil,
// and why; empty while that is not known yet.
func (e *Controller) passesOf(ctx context.Context, env *v1alpha1.Environment) (*reconciler.Reconciler, string, error) {
	passes, why := e.Fleet.Find(ctx, env.Spec.Cluster)
	if passes == nil || passes == e.Fleet.Home {
		return passes, why, nil
	}
	elsewhere, err := passes.Elsewhere(ctx, env.Name)
	if err != nil {
		return nil, "", err
	}
	if !elsewhere {
		return passes, "", nil
	}
	ask := "begin again in the other cluster: berth confirm " + env.Name
	if confirmed(env, ask) {
		e.Log.Warn("the environment begins again in another cluster of the same name, because a user confirmed that", "environment", env.Name, "cluster", env.Spec.Cluster)
		return passes, "", passes.BeginHere(ctx, identityOf(env, e.Installation))
	}
	return nil, fmt.Sprintf("the name %s leads to another cluster than the one in which the environment ran: the kubeconfig in Secret/%s, or the cluster at its address, was replaced; nothing is done there; restore it, or %s",
		env.Spec.Cluster, env.Spec.Cluster, ask), nil
}

// apart reports why an Environment cannot be reconciled in its cluster. What runs there stays as it is. If the cluster is gone for
// good, a user can let an Environment go that is being deleted.
func (e *Controller) apart(ctx context.Context, env *v1alpha1.Environment, why string, err error) (ctrl.Result, error) {
	e.pause(client.ObjectKeyFromObject(env))
	if err != nil || why == "" {
		return ctrl.Result{}, err // the Fleet requeues it
	}
	e.remember(env, identityOf(env, e.Installation))
	if env.DeletionTimestamp.IsZero() {
		return e.ask(ctx, env, report.Held, why)
	}
	e.Guard.Allow(env) // which has been asked before
	ask := branches.LeaveBehind(env)
	if confirmed(env, ask) {
		e.Log.Warn("the environment goes without its cluster, because a user confirmed that", "environment", env.Name, "cluster", env.Spec.Cluster, "reason", why)
		if err := e.Fleet.Home.Records.Delete(ctx, reconciler.RecordName(env.Name, env.Spec.Cluster)); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{}, e.release(ctx, env)
	}
	stage := report.Held
	if branches.Begun(env) {
		stage = report.Deleting // which it must not unsay
	}
	return e.ask(ctx, env, stage, why+"; its deletion waits for that; "+ask)
}

// ask reports why an Environment waits. A confirmation from before was meant for something else, and is used up.
func (e *Controller) ask(ctx context.Context, env *v1alpha1.Environment, stage report.Stage, why string) (ctrl.Result, error) {
	found := reconciler.TornDown{State: plan.Waiting, Message: why}
	if branches.ConfirmedBy(env) {
		found.Confirmation = env.Annotations[v1alpha1.AnnotationConfirmed]
	}
	return e.conclude(ctx, env, report.Standing{Life: report.Life{Stage: stage}, Outcome: reconciler.Outcome{Finding: found}})
}

// confirmed reports whether a user confirmed what the status of an Environment asks for.
func confirmed(env *v1alpha1.Environment, ask string) bool {
	return branches.Asks(env, ask) && branches.ConfirmedBy(env)
}

// forget drops what is kept of an environment in its cluster.
func (e *Controller) forget(env remembered) {
	if passes := e.Fleet.Known(env.Cluster); passes != nil {
		passes.Forget(env.Environment)
	}
}

// copied reads a Secret that an entry copies. The kubeconfig of a cluster is never copied: whoever can push a branch could read it.
func (e *Controller) copied(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	secret, err := e.Secrets(ctx, name)
	if err == nil && e.Fleet.Holds(ctx, secret) {
		return nil, fmt.Errorf("it has the kubeconfig of the cluster %s, which no environment may read; remove it from copySecrets", name.Name)
	}
	return secret, err
}

// InCluster requeues the Environments of a cluster.
func (e *Controller) InCluster(ctx context.Context, cluster types.NamespacedName) {
	for _, request := range inCluster(ctx, e.Client, cluster) {
		e.Requeue(request.NamespacedName)
	}
}

// inCluster returns the Environments of the cluster whose kubeconfig is in a Secret.
func inCluster(ctx context.Context, c client.Reader, secret types.NamespacedName) (requests []reconcile.Request) {
	var all v1alpha1.EnvironmentList
	if err := c.List(ctx, &all, client.InNamespace(secret.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil // the cache answers, and cannot fail
	}
	for i := range all.Items {
		if all.Items[i].Spec.Cluster == secret.Name {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return requests
}
