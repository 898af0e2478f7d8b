package preview

import (
	"fmt"
	"time"

	"berth.dev/berth/api/v1alpha1"
)

// absence is what is known of a branch that was missing from listings.
type absence struct {
	since    time.Time
	listings int
}

// The brake of a repository: more than brakeCount environments and more than brakeShare of all that it
// has are deleted at once only after somebody confirmed it.
const (
	brakeCount   = 3
	brakePercent = 30
)

// changes are what makes a repository's Environments those that its branches call for.
type changes struct {
	write  []wanted
	delete []doomed
	// notes are for people: what is wrong, and what they can do about it.
	notes []string
	// next is when more is to be deleted if nothing changes; zero: never.
	next time.Time
}

// doomed is an Environment that is to go, and why.
type doomed struct {
	environment *v1alpha1.Environment
	why         string
}

// listed is what a complete listing said, and the evidence that earlier ones gave.
type listed struct {
	heads map[string]string
	// trusted says that the listing has the default branch: without it nothing counts as gone.
	trusted   bool
	absent    map[string]absence // by branch
	now       time.Time
	goneAfter time.Duration
	confirmed bool
}

// compare decides which Environments are written and which go. A branch counts as gone only when two
// trusted listings in a row lacked it, and for goneAfter; an entry's or a pattern's change counts at
// once, for an administrator made it.
func compare(have []v1alpha1.Environment, want []wanted, l listed) changes {
	var c changes
	wants := make(map[string]wanted, len(want))
	for _, w := range want {
		wants[w.name] = w
	}
	for i := range have {
		env := &have[i]
		w, isWanted := wants[env.Name]
		if why := c.doom(env, w, isWanted, l); why != "" {
			c.delete = append(c.delete, doomed{environment: env, why: why})
			delete(wants, env.Name)
		}
	}
	for _, w := range want {
		if w, ok := wants[w.name]; ok {
			c.write = append(c.write, c.settle(w, have))
		}
	}
	if n := len(c.delete); n > brakeCount && n*100 > brakePercent*len(have) && !l.confirmed {
		c.notes = append(c.notes, fmt.Sprintf("nothing is deleted, for %d of %d environments would be at once, %s among them (%s); if that is meant: kubectl annotate repo %s %s=yes",
			n, len(have), c.delete[0].environment.Name, c.delete[0].why, c.delete[0].environment.Spec.Repository, v1alpha1.AnnotationConfirmed))
		c.delete = nil
	}
	return c
}

// doom says why an Environment has to go; empty: it stays.
func (c *changes) doom(env *v1alpha1.Environment, w wanted, isWanted bool, l listed) string {
	switch {
	case !env.DeletionTimestamp.IsZero():
		return ""
	case isWanted && w.spec.Namespace != env.Spec.Namespace && !w.literal:
		return "its entry's namespace was changed; it is made anew"
	case isWanted:
		return ""
	}
	if _, exists := l.heads[env.Spec.Branch]; exists {
		return "its entry no longer matches the branch"
	}
	if !l.trusted {
		c.notes = append(c.notes, fmt.Sprintf("branch %s is missing, but so is the repository's default branch, without which nothing counts as gone; set one that exists", env.Spec.Branch))
		return ""
	}
	gone := l.absent[env.Spec.Branch]
	if gone.listings < 2 {
		return ""
	}
	if at := gone.since.Add(l.goneAfter); l.now.Before(at) {
		if c.next.IsZero() || at.Before(c.next) {
			c.next = at
		}
		return ""
	}
	return "its branch is gone"
}

// settle keeps a literal entry's running environment where it is when the entry's namespace changed.
func (c *changes) settle(w wanted, have []v1alpha1.Environment) wanted {
	for _, env := range have {
		if env.Name == w.name && env.Spec.Namespace != w.spec.Namespace && w.literal {
			c.notes = append(c.notes, fmt.Sprintf("entry %s: the namespace is now %s, but what runs does not move from %s by itself; delete the Environment %s and move what it runs",
				w.entry.Name, w.spec.Namespace, env.Spec.Namespace, env.Name))
			w.spec.Namespace = env.Spec.Namespace
		}
	}
	return w
}

// notice keeps count of the branches that Environments have and a trusted listing lacks.
func notice(absent map[string]absence, have []v1alpha1.Environment, l listed) {
	for branch := range absent {
		if _, back := l.heads[branch]; back {
			delete(absent, branch)
		}
	}
	seen := map[string]bool{}
	for _, env := range have {
		branch := env.Spec.Branch
		if _, exists := l.heads[branch]; exists || seen[branch] {
			continue
		}
		seen[branch] = true
		a := absent[branch]
		if a.listings == 0 {
			a.since = l.now
		}
		a.listings++
		absent[branch] = a
	}
}
