package environments

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/control"
	"berth.dev/berth/reconciler/naming"
)

// admit returns "" if an Environment may be reconciled. Otherwise it returns why it has to wait: for a slot of its entry, or
// for a turn.
func (e *Controller) admit(ctx context.Context, env *v1alpha1.Environment, s *settings) (string, error) {
	if s.limit > 0 && !e.slots.Has(env.UID) {
		e.slots.Await(env.UID)
		siblings, err := e.siblings(ctx, env, s)
		if err != nil {
			return "", err
		}
		if why := e.slots.Take(env, siblings, s.limit, e.hasSlot); why != "" {
			if branches.IsReason(env, v1alpha1.ReasonExpired) {
				e.requeueWaiting(siblings) // older environments come first
			}
			return why, nil
		}
	}
	name := client.ObjectKeyFromObject(env)
	switch {
	case s.WaitForImages > 0 && e.waitsWith(env) == s.Commit:
		s.WithoutTurn = true
		return "", nil // it takes its turn once the images are there
	case s.Commit == env.Status.HealthyCommit || e.endedWith(env) == s.Commit:
		e.pause(name)
		return "", nil // nothing new; drift is corrected at once
	case s.literal:
		e.turns.Jump(name, env.Spec.Repository)
		return "", nil
	}
	return e.turns.Take(name, env.Spec.Repository), nil
}

// siblings returns the Environments of the same entry, including this one.
func (e *Controller) siblings(ctx context.Context, env *v1alpha1.Environment, s *settings) ([]v1alpha1.Environment, error) {
	all, err := e.ofRepository(ctx, client.ObjectKeyFromObject(env), env.Spec.Repository)
	siblings := all[:0]
	for i := range all {
		if entry := naming.EntryOf(s.repository, &all[i]); entry != nil && entry.Name == s.entry {
			siblings = append(siblings, all[i])
		}
	}
	return siblings, err
}

// ofRepository returns the Environments of a Repository in the namespace of one of them, with what was last reported about each.
// Callers must not change them.
func (e *Controller) ofRepository(ctx context.Context, one types.NamespacedName, repository string) ([]v1alpha1.Environment, error) {
	all, err := control.Environments(ctx, e.Client, types.NamespacedName{Namespace: one.Namespace, Name: repository})
	for i := range all {
		e.Recall(&all[i]) // the status of a copy, in which nothing of the cache is changed
	}
	return all, err
}

// hasSlot reports whether the cluster shows that an Environment has a slot.
func (e *Controller) hasSlot(env *v1alpha1.Environment) bool {
	return env.Status.AppliedCommit != "" || e.hasNamespace(env)
}

// hasNamespace reports whether an Environment has a namespace that Berth created for it. In doubt, it has one.
func (e *Controller) hasNamespace(env *v1alpha1.Environment) bool {
	passes := e.Fleet.Known(env.Spec.Cluster)
	if passes == nil {
		return true
	}
	namespace, exists := passes.Cluster.Watches.Namespace(env.Spec.Namespace)
	return exists && namespace.Environment == branches.ID(env.Spec, e.Installation)
}

func (e *Controller) endedWith(env *v1alpha1.Environment) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended[env.UID]
}

func (e *Controller) waitsWith(env *v1alpha1.Environment) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.waits[env.UID]
}

// waitForImages records whether a commit waits for images, and ends the turn of an Environment that does. It reports
// whether it does.
func (e *Controller) waitForImages(env *v1alpha1.Environment, commit string, o reconciler.Outcome) bool {
	j, ok := o.Finding.(reconciler.Judged)
	if !ok {
		return false // nothing new is known
	}
	e.mu.Lock()
	if delete(e.waits, env.UID); j.ForImages {
		e.waits[env.UID] = commit
	}
	e.mu.Unlock()
	if j.ForImages {
		e.pause(client.ObjectKeyFromObject(env))
	}
	return j.ForImages
}

// endTurn ends an Environment's turn once its sync has ended, or while nothing can be done about it. Only a commit that was
// tried counts as finished.
func (e *Controller) endTurn(env *v1alpha1.Environment, commit string, o reconciler.Outcome) {
	switch {
	case e.waitForImages(env, commit, o):
	case o.Syncing():
	case o.Err != nil:
		e.pause(client.ObjectKeyFromObject(env))
	case !o.Quiet(): // otherwise it waits for a watch, which takes a moment
		e.finished(env, commit)
	}
}

// finished records that the sync of a commit has ended, and requeues the waiting Environments.
func (e *Controller) finished(env *v1alpha1.Environment, commit string) {
	e.mu.Lock()
	e.ended[env.UID] = commit
	e.mu.Unlock()
	e.pause(client.ObjectKeyFromObject(env))
}

// pause ends an Environment's turn, and requeues those that can start now.
func (e *Controller) pause(name types.NamespacedName) {
	for _, next := range e.turns.End(name) {
		e.Requeue(next)
	}
}

// vacated requeues the Environments that wait for another one's slot, turn or deletion.
func (e *Controller) vacated(ctx context.Context, name types.NamespacedName, env remembered) {
	e.slots.Release(env.uid)
	e.pause(name)
	others, err := e.ofRepository(ctx, name, env.Repository)
	if err != nil {
		return // the cache answers, and cannot fail
	}
	e.requeueWaiting(others)
	for i := range others {
		if branches.IsLeaving(&others[i]) {
			e.Requeue(client.ObjectKeyFromObject(&others[i]))
		}
	}
}

// requeueWaiting requeues those that wait for a slot.
func (e *Controller) requeueWaiting(all []v1alpha1.Environment) {
	for i := range all {
		if e.slots.Awaits(all[i].UID) {
			e.Requeue(client.ObjectKeyFromObject(&all[i]))
		}
	}
}
