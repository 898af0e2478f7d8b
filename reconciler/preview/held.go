package preview

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"berth.dev/berth/api/v1alpha1"
)

// let lets an Environment go that somebody confirmed, and keeps in mind that it was as long as it may still have to go.
func (c *changes) let(env *v1alpha1.Environment, stays bool, e evidence) {
	isOver := slices.ContainsFunc(e.over, func(o *v1alpha1.Environment) bool { return o.Name == env.Name })
	if !e.confirmed[env.Name] || stays && !isOver && !isLeaving(env) {
		return
	}
	c.confirmed = append(c.confirmed, env.Name)
	if isOver || isLeaving(env) {
		c.release = append(c.release, env)
	}
}

// brake keeps everything from going at once but for what somebody let go, and what has nothing left to lose. That many
// would expire at once keeps no other from being deleted, but not the other way round.
func (c *changes) brake(have []v1alpha1.Environment, e evidence) {
	going, total := leaving(have, e.now), standing(have, e.now)
	for _, d := range c.delete {
		if stands(d.environment) {
			going++
		}
	}
	if tooMany(going, total) {
		waits := func(d doomed) bool {
			return !e.confirmed[d.environment.Name] && !isReason(d.environment, v1alpha1.ReasonExpired)
		}
		waiting := slices.DeleteFunc(slices.Clone(c.delete), func(d doomed) bool { return !waits(d) })
		c.delete = slices.DeleteFunc(c.delete, waits)
		c.hold(append(waiting, deletedByHand(have, e)...), going, total)
		return
	}
	if going += len(e.over); tooMany(going, total) {
		c.hold(toExpire(e), going, total)
	}
}

// hold tells which Environments wait for a person.
func (c *changes) hold(waiting []doomed, going, total int) {
	if len(waiting) == 0 {
		return
	}
	first := waiting[0]
	c.doubts = append(c.doubts, fmt.Sprintf("%s (%s among them: %s)", held(going, total, first.environment.Spec.Repository), first.environment.Name, first.why))
	for _, d := range waiting {
		c.held = append(c.held, d.environment.Name)
	}
	slices.Sort(c.held)
}

// deletedByHand returns the Environments that are being deleted and that nothing was taken down of yet.
func deletedByHand(have []v1alpha1.Environment, e evidence) (list []doomed) {
	for i := range have {
		if env := &have[i]; isLeaving(env) && !begun(env) && !e.confirmed[env.Name] {
			list = append(list, doomed{environment: env, why: "somebody deleted it"})
		}
	}
	return list
}

// toExpire returns the Environments that are to expire and have not begun to.
func toExpire(e evidence) (list []doomed) {
	for _, env := range e.over {
		if !isReason(env, v1alpha1.ReasonExpiring) && !e.confirmed[env.Name] {
			list = append(list, doomed{environment: env, why: "nobody has touched its branch for a while"})
		}
	}
	return list
}

// confirm takes down whom a new confirmation lets go, before anything is done because of it: those that were told to be
// held, and those whose time is over. Whatever comes to be held later needs another one.
func (r *Repositories) confirm(ctx context.Context, repo *v1alpha1.Repository, f *followed, over []*v1alpha1.Environment) error {
	if f.confirmed == nil {
		f.confirmed = nameSet(repo.Status.Confirmed...)
	}
	id := repo.Annotations[v1alpha1.AnnotationConfirmed]
	if !confirmed(repo) || f.bound == id {
		return nil
	}
	all := nameSet(repo.Status.Held...)
	for _, env := range over {
		all[env.Name] = true
	}
	if len(all) > 0 {
		maps.Copy(all, f.confirmed)
		status := *repo.Status.DeepCopy()
		status.HandledConfirmation, status.Held, status.Confirmed = id, nil, slices.Sorted(maps.Keys(all))
		if err := r.Report(ctx, repo, status); err != nil {
			return err
		}
		f.confirmed = all
	}
	f.bound = id
	if len(all) > 0 || f.trouble == nil {
		f.confirmation = id // else it may be for what the next listing brings, if that is doubtful
	}
	return nil
}

func nameSet(names ...string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, name := range names {
		all[name] = true
	}
	return all
}
