package preview

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/source"
)

// changes are what makes a repository's Environments those that its branches call for.
type changes struct {
	write  []wanted
	delete []doomed
	// release are Environments that are being deleted already, or whose time is over, and that may now be
	// taken down.
	release []*v1alpha1.Environment
	// notes are for people: what is wrong, and what they can do about it. doubts are what waits for them to
	// say that it is meant.
	notes, doubts []string
	// next is when more is to be deleted if nothing changes; zero: never.
	next time.Time
}

// doomed is an Environment that is to go, and why.
type doomed struct {
	environment *v1alpha1.Environment
	why         string
}

// evidence is what a complete listing said, and what earlier ones gave.
type evidence struct {
	listing source.Listing
	// current says that the listing is the server's newest answer: after a failure nothing counts as gone.
	current   bool
	absent    map[string]absence      // by branch
	over      []*v1alpha1.Environment // those whose time is over
	now       time.Time
	goneAfter time.Duration
	confirmed bool
}

// compare decides which Environments are written and which go. A branch counts as gone only when two
// trusted listings in a row lacked it, and for goneAfter; an entry's or a pattern's change counts at
// once, for an administrator made it.
func compare(have []v1alpha1.Environment, d demand, e evidence) changes {
	// A cache lists in any order, and what is told must not change with it.
	have = slices.SortedFunc(slices.Values(have), func(a, b v1alpha1.Environment) int { return strings.Compare(a.Name, b.Name) })
	byName := named(have)
	claims, notes := claim(byName, d)
	c := changes{notes: append(d.notes, notes...)}
	wants := make(map[string]wanted, len(claims))
	for _, w := range claims {
		wants[w.name] = w
	}
	dooms := map[string]string{}
	for i := range have {
		env := &have[i]
		w, isWanted := wants[env.Name]
		if why := c.doom(env, w, isWanted, d, e); why != "" {
			dooms[env.Name] = why
			c.delete = append(c.delete, doomed{environment: env, why: why})
		}
	}
	if c.brake(have, e) {
		clear(dooms)
	}
	for _, w := range claims {
		if dooms[w.name] == "" {
			c.write = append(c.write, c.settle(w, byName[w.name]))
		}
	}
	return c
}

// brake keeps everything from going at once, and says whether it keeps anything from being deleted. That
// many would expire at once keeps no other from being deleted, but not the other way round.
func (c *changes) brake(have []v1alpha1.Environment, e evidence) bool {
	if e.confirmed {
		for i := range have {
			if isLeaving(&have[i]) {
				c.release = append(c.release, &have[i])
			}
		}
		c.release = append(c.release, e.over...)
		return false
	}
	going, total := leaving(have, e.now), standing(have, e.now)
	for _, d := range c.delete {
		if stands(d.environment) {
			going++
		}
	}
	doubt := func(going int, env *v1alpha1.Environment, why string) {
		c.doubts = append(c.doubts, fmt.Sprintf("%s (%s among them: %s)", held(going, total, env.Spec.Repository), env.Name, why))
	}
	if tooMany(going, total) {
		if len(c.delete) > 0 {
			doubt(going, c.delete[0].environment, c.delete[0].why)
		}
		c.delete = nil
		return true
	}
	begun := func(env *v1alpha1.Environment) bool { return isReason(env, v1alpha1.ReasonExpiring) }
	if waiting := slices.DeleteFunc(slices.Clone(e.over), begun); len(waiting) > 0 && tooMany(going+len(e.over), total) {
		doubt(going+len(e.over), waiting[0], "nobody has touched its branch for a while")
	}
	return false
}

// doom says why an Environment has to go; empty: it stays.
func (c *changes) doom(env *v1alpha1.Environment, w wanted, isWanted bool, d demand, e evidence) string {
	followed, hasEntry := d.entries[env.Spec.Entry]
	_, exists := e.listing.Heads[env.Spec.Branch]
	switch {
	case !env.DeletionTimestamp.IsZero():
		return ""
	case isWanted && w.spec.Namespace != env.Spec.Namespace && !w.literal:
		return "its entry's namespace was changed; it is made anew"
	case isWanted:
		return ""
	case hasEntry && !followed, !hasEntry && d.unclear():
		return "" // nobody knows what its entry, or the one that has taken over from it, was meant to say
	case !hasEntry:
		return "its entry was removed"
	case exists:
		return "its entry no longer matches the branch"
	}
	return c.gone(env, e)
}

// gone says whether there is proof that an Environment's branch is gone.
func (c *changes) gone(env *v1alpha1.Environment, e evidence) string {
	if !hasDefault(e.listing) {
		c.doubts = append(c.doubts, fmt.Sprintf("branch %s is missing, but so is the repository's default branch, without which nothing counts as gone; set one that exists", env.Spec.Branch))
		return ""
	}
	a := e.absent[env.Spec.Branch]
	if !e.current || a.listings < 2 {
		return ""
	}
	if at := a.since.Add(e.goneAfter); e.now.Before(at) {
		if c.next.IsZero() || at.Before(c.next) {
			c.next = at
		}
		return ""
	}
	return "its branch is gone"
}

// settle keeps an Environment in its namespace: that of a literal entry does not move by itself, nor does
// one that the brake keeps from being made anew.
func (c *changes) settle(w wanted, env *v1alpha1.Environment) wanted {
	if env == nil || env.Spec.Namespace == w.spec.Namespace {
		return w
	}
	if w.literal {
		c.notes = append(c.notes, fmt.Sprintf("entry %s: %s", w.entry.Name, moved(env, w.entry)))
	}
	w.spec.Namespace = env.Spec.Namespace
	return w
}

// moved says what a person has to do about an entry whose namespace was changed; empty: nothing.
func moved(env *v1alpha1.Environment, entry *v1alpha1.Entry) string {
	to := naming.Namespace(entry.Namespace, env.Spec.Branch)
	if to == env.Spec.Namespace {
		return ""
	}
	return fmt.Sprintf("the namespace is now %s, but what runs does not move from %s by itself; move what it runs and delete the Environment %s, which is then made anew there",
		to, env.Spec.Namespace, env.Name)
}
