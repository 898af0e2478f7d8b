package branches

import (
	"fmt"
	"slices"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// allow allows a confirmed Environment to be torn down. It keeps the confirmation while a deletion is still possible. w is
// nil if no entry calls for the Environment.
func (c *Changes) allow(env *v1alpha1.Environment, w *Wanted, e Evidence) {
	stays := w != nil && w.place() == naming.Here(env)
	isOver := slices.ContainsFunc(e.Over, func(o *v1alpha1.Environment) bool { return o.Name == env.Name })
	if !e.Confirmed[env.Name] || stays && !isOver && !IsLeaving(env) {
		return
	}
	c.Confirmed = append(c.Confirmed, env.Name)
	if isOver || IsLeaving(env) {
		c.Release = append(c.Release, env)
	}
}

// guard blocks deletions that a user has to confirm first. Environments that were confirmed, and those that have nothing
// to lose, are not blocked.
func (c *Changes) guard(have []v1alpha1.Environment, e Evidence) {
	n := Count(have, e.Over, e.Now)
	for _, d := range c.Delete {
		if Stands(d.Environment) {
			n.doomed++
		}
	}
	switch {
	case n.BlocksDeletions():
		waits := func(d doomed) bool {
			return !d.confirmed && !e.Confirmed[d.Environment.Name] && !IsReason(d.Environment, v1alpha1.ReasonExpired)
		}
		waiting := slices.DeleteFunc(slices.Clone(c.Delete), func(d doomed) bool { return !waits(d) })
		c.Delete = slices.DeleteFunc(c.Delete, waits)
		c.hold(append(waiting, deletedByHand(have, e)...), n.goes(), n.standing)
	case n.BlocksExpiries():
		c.hold(toExpire(e), n.goes()+n.over, n.standing)
	}
}

// hold records which Environments wait for a confirmation.
func (c *Changes) hold(waiting []doomed, going, all int) {
	if len(waiting) == 0 {
		return
	}
	first := waiting[0]
	c.Doubts = append(c.Doubts, fmt.Sprintf("%s (%s among them: %s)", blocked(going, all, first.Environment.Spec.Repository), first.Environment.Name, first.Why))
	for _, d := range waiting {
		c.Held = append(c.Held, d.Environment.Name)
		if departing, ok := c.Departing[d.Environment.Name]; ok {
			departing.held = true
			c.Departing[d.Environment.Name] = departing
		}
	}
	slices.Sort(c.Held)
}

// deletedByHand returns the Environments that a user has deleted and whose teardown has not started.
func deletedByHand(have []v1alpha1.Environment, e Evidence) (list []doomed) {
	for i := range have {
		if env := &have[i]; IsLeaving(env) && !Begun(env) && !e.Confirmed[env.Name] {
			list = append(list, doomed{Environment: env, Why: "a user deleted it"})
		}
	}
	return list
}

// toExpire returns the Environments that are due to expire and whose teardown has not started.
func toExpire(e Evidence) (list []doomed) {
	for _, env := range e.Over {
		if !IsReason(env, v1alpha1.ReasonExpiring) && !e.Confirmed[env.Name] {
			list = append(list, doomed{Environment: env, Why: "its branch has been unused for too long"})
		}
	}
	return list
}
