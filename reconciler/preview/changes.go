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
	// judged says that a listing was compared, held are the Environments that wait for a person, and confirmed those that
	// somebody let go and that are not gone yet.
	judged          bool
	held, confirmed []string
	// notes are for people: what is wrong, and what they can do about it. doubts are what waits for them to
	// say that it is meant.
	notes, doubts []string
	// warnings are for people, too, and make the Repository no less ready.
	warnings []string
	// next is when more is to be deleted if nothing changes; zero: never.
	next time.Time
	// departing are the Environments whose branches are gone, by name.
	departing map[string]departing
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
	// confirmed are the Environments that somebody let go, by name.
	confirmed map[string]bool
}

// compare decides which Environments are written and which go. A branch counts as gone only when two
// trusted listings in a row lacked it, and for goneAfter; an entry's or a pattern's change counts at
// once, for an administrator made it.
func compare(have []v1alpha1.Environment, d demand, e evidence) changes {
	// A cache lists in any order, and what is told must not change with it.
	have = slices.SortedFunc(slices.Values(have), func(a, b v1alpha1.Environment) int { return strings.Compare(a.Name, b.Name) })
	byName := named(have)
	d = d.withUsable(byName).withoutRenamed(e.listing.Default, byName)
	claims, notes := claim(byName, d)
	c := changes{judged: true, notes: append(d.notes, notes...), departing: map[string]departing{}}
	wants := make(map[string]wanted, len(claims))
	for _, w := range claims {
		wants[w.name] = w
	}
	for i := range have {
		env := &have[i]
		w, isWanted := wants[env.Name]
		if why := c.doom(env, w, isWanted, d, e); why != "" {
			c.delete = append(c.delete, doomed{environment: env, why: why})
		}
		c.let(env, isWanted && w.spec.Namespace == env.Spec.Namespace, e)
	}
	c.brake(have, e)
	for _, name := range c.held {
		if d, ok := c.departing[name]; ok {
			d.held = true
			c.departing[name] = d
		}
	}
	goes := map[string]bool{}
	for _, d := range c.delete {
		goes[d.environment.Name] = true
	}
	for _, w := range claims {
		if !goes[w.name] {
			c.write = append(c.write, c.settle(w, byName[w.name]))
		}
	}
	return c
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
	if a.listings == 0 {
		return ""
	}
	at := a.since.Add(e.goneAfter)
	c.departing[env.Name] = departing{since: a.since.Truncate(time.Second), at: at.Truncate(time.Second)}
	if !e.current || a.listings < 2 {
		return ""
	}
	if e.now.Before(at) {
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
