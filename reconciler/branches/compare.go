package branches

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/source"
)

// Changes are what makes a repository's Environments those that its branches call for.
type Changes struct {
	Write  []Wanted
	Delete []doomed
	// Release are Environments that are being deleted already, or whose time is over, and that may now be
	// taken down.
	Release []*v1alpha1.Environment
	// Judged says that a listing was compared, held are the Environments that wait for a person, and confirmed those that
	// somebody let go and that are not gone yet.
	Judged          bool
	Held, Confirmed []string
	// Notes are for people: what is wrong, and what they can do about it. doubts are what waits for them to
	// say that it is meant.
	Notes, Doubts []string
	// Warnings are for people, too, and make the Repository no less ready.
	Warnings []string
	// Next is when more is to be deleted if nothing changes; zero: never.
	Next time.Time
	// Departing are the Environments whose branches are gone, by name.
	Departing map[string]Departure
}

// doomed is an Environment that is to go, and why.
type doomed struct {
	Environment *v1alpha1.Environment
	Why         string
}

// Evidence is what a complete listing said, and what earlier ones gave.
type Evidence struct {
	Listing source.Listing
	// Current says that the listing is the server's newest answer: after a failure nothing counts as gone.
	Current   bool
	Absent    map[string]Absence      // by branch
	Over      []*v1alpha1.Environment // those whose time is over
	Now       time.Time
	GoneAfter time.Duration
	// Confirmed are the Environments that somebody let go, by name.
	Confirmed map[string]bool
}

// Compare decides which Environments are written and which are deleted. A branch counts as gone only after two trusted
// listings in a row without it, and after goneAfter. A change of an entry or of a pattern counts at once, because an
// administrator made it.
func Compare(have []v1alpha1.Environment, d demand, e Evidence) Changes {
	// The cache lists in random order, and messages must not change with it.
	have = slices.SortedFunc(slices.Values(have), func(a, b v1alpha1.Environment) int { return strings.Compare(a.Name, b.Name) })
	byName := ByName(have)
	d = d.withUsable(byName).withoutRenamed(e.Listing.Default, byName)
	claims, notes := claim(byName, d)
	c := Changes{Judged: true, Notes: append(d.notes, notes...), Departing: map[string]Departure{}}
	wants := make(map[string]*Wanted, len(claims))
	for i := range claims {
		wants[claims[i].Name] = &claims[i]
	}
	for i := range have {
		env := &have[i]
		w := wants[env.Name]
		if why := c.doom(env, w, d, e); why != "" {
			c.Delete = append(c.Delete, doomed{Environment: env, Why: why})
		}
		c.allow(env, w, e)
	}
	c.guard(have, e)
	goes := map[string]bool{}
	for _, d := range c.Delete {
		goes[d.Environment.Name] = true
	}
	for _, w := range claims {
		if !goes[w.Name] {
			c.Write = append(c.Write, c.settle(w, byName[w.Name]))
		}
	}
	return c
}

// doom says why an Environment has to go; empty: it stays. w is nil for one that nothing calls for.
func (c *Changes) doom(env *v1alpha1.Environment, w *Wanted, d demand, e Evidence) string {
	followed, hasEntry := d.entries[env.Spec.Entry]
	_, exists := e.Listing.Heads[env.Spec.Branch]
	switch {
	case !env.DeletionTimestamp.IsZero():
		return ""
	case w != nil && w.Spec.Namespace != env.Spec.Namespace && !w.literal:
		return "its entry's namespace was changed; it is made anew"
	case w != nil:
		return ""
	case hasEntry && !followed, !hasEntry && d.unclear():
		return "" // the entry, or the one that replaced it, cannot be read, and may mean this environment
	case !hasEntry:
		return "its entry was removed"
	case exists:
		return "its entry no longer matches the branch"
	}
	return c.gone(env, e)
}

// gone says whether there is proof that an Environment's branch is gone.
func (c *Changes) gone(env *v1alpha1.Environment, e Evidence) string {
	if !hasDefault(e.Listing) {
		c.Doubts = append(c.Doubts, fmt.Sprintf("branch %s is missing, but so is the repository's default branch, without which nothing counts as gone; set one that exists", env.Spec.Branch))
		return ""
	}
	a := e.Absent[env.Spec.Branch]
	if a.Listings == 0 {
		return ""
	}
	at := a.Since.Add(e.GoneAfter)
	c.Departing[env.Name] = Departure{Since: a.Since.Truncate(time.Second), At: at.Truncate(time.Second)}
	if !e.Current || a.Listings < 2 {
		return ""
	}
	if e.Now.Before(at) {
		if c.Next.IsZero() || at.Before(c.Next) {
			c.Next = at
		}
		return ""
	}
	return "its branch is gone"
}

// settle keeps an Environment in its namespace: that of a literal entry does not move by itself, nor does one whose
// deletion is blocked.
func (c *Changes) settle(w Wanted, env *v1alpha1.Environment) Wanted {
	if env == nil || env.Spec.Namespace == w.Spec.Namespace {
		return w
	}
	if w.literal {
		c.Notes = append(c.Notes, fmt.Sprintf("entry %s: %s", w.entry.Name, Moved(env, w.entry)))
	}
	w.Spec.Namespace = env.Spec.Namespace
	return w
}

// Moved says what a person has to do about an entry whose namespace was changed; empty: nothing.
func Moved(env *v1alpha1.Environment, entry *v1alpha1.Entry) string {
	to := naming.Namespace(entry.Namespace, env.Spec.Branch)
	if to == env.Spec.Namespace {
		return ""
	}
	return fmt.Sprintf("the namespace is now %s, but what runs does not move from %s by itself; move what it runs and delete the Environment %s, which is then made anew there",
		to, env.Spec.Namespace, env.Name)
}
