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

// Changes are the writes and deletions that make a repository's Environments match its branches.
type Changes struct {
	Write  []Wanted
	Delete []doomed
	// Release are Environments that are being deleted or due to expire, and that may now be torn down.
	Release []*v1alpha1.Environment
	// Judged is set once a listing was compared. Held are the Environments that wait for a confirmation. Confirmed are those
	// that a user confirmed and that still exist.
	Judged          bool
	Held, Confirmed []string
	// Notes report what is wrong and how to fix it. Doubts are the notes that need a confirmation.
	Notes, Doubts []string
	// Warnings do not affect the Ready condition of the Repository.
	Warnings []string
	// Next is when the next deletion is due if nothing changes; zero: never. List is when another listing has to confirm that
	// a branch is gone, even if no poll is due; zero: none has to.
	Next, List time.Time
	// Departing are the Environments whose branches are gone, by name.
	Departing map[string]Departure
	// left are the Environments of entries of other agents that stay until a user confirms their deletion.
	left []*v1alpha1.Environment
}

// doomed is an Environment that is to be deleted, and why.
type doomed struct {
	Environment *v1alpha1.Environment
	Why         string
	// confirmed says that a user confirmed the deletion of this Environment by itself.
	confirmed bool
}

// Evidence is the last complete listing and what earlier ones showed.
type Evidence struct {
	Listing source.Listing
	// Current reports whether the listing is the server's newest answer. After a failure no branch counts as gone.
	Current   bool
	Absent    map[string]Absence      // by branch
	Over      []*v1alpha1.Environment // those due to expire
	Now       time.Time
	GoneAfter time.Duration
	// Confirmed are the Environments whose deletion a user confirmed, by name.
	Confirmed map[string]bool
	// Elsewhere are the entries of other agents.
	Elsewhere Elsewhere
}

// Compare decides which Environments are written and which are deleted. A branch counts as gone only after two trusted
// listings in a row without it, and after goneAfter. A change of an entry or of a pattern counts at once, because an
// administrator made it.
func Compare(have []v1alpha1.Environment, d demand, e Evidence) Changes {
	// The cache lists in random order, and messages must not depend on it.
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
			c.Delete = append(c.Delete, doomed{Environment: env, Why: why, confirmed: ConfirmedBy(env) && (e.Elsewhere.Has(env) || w != nil && w.literal)})
		}
		c.allow(env, w, e)
	}
	c.guard(have, e)
	c.leave(e.Elsewhere)
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

// doom returns why an Environment has to be deleted; empty: it stays. w is nil if no entry calls for it.
func (c *Changes) doom(env *v1alpha1.Environment, w *Wanted, d demand, e Evidence) string {
	followed, hasEntry := d.entries[env.Spec.Entry]
	_, exists := e.Listing.Heads[env.Spec.Branch]
	switch {
	case !env.DeletionTimestamp.IsZero():
		return ""
	case w != nil && w.place() != naming.Here(env) && (!w.literal || w.Spec.Cluster != env.Spec.Cluster && (e.Confirmed[env.Name] || ConfirmedBy(env))):
		return w.moves(env)
	case w != nil:
		return ""
	case hasEntry && !followed, !hasEntry && d.unclear():
		return "" // the entry, or the one that replaced it, is invalid and may call for this environment
	case e.Elsewhere.Has(env):
		return c.hand(env, e)
	case !hasEntry:
		return "its entry was removed"
	case exists:
		return "its entry no longer matches the branch"
	}
	return c.gone(env, e)
}

// gone returns a reason to delete an Environment if its branch is proven to be gone.
func (c *Changes) gone(env *v1alpha1.Environment, e Evidence) string {
	if !hasDefault(e.Listing) {
		c.Doubts = append(c.Doubts, fmt.Sprintf("branch %s is missing, and so is the default branch: without it, no branch counts as deleted; set a default branch that exists", env.Spec.Branch))
		return ""
	}
	a := e.Absent[env.Spec.Branch]
	if a.Listings == 0 {
		return ""
	}
	at := a.Since.Add(e.GoneAfter)
	c.Departing[env.Name] = Departure{Since: a.Since.Truncate(time.Second), At: at.Truncate(time.Second)}
	switch {
	case !e.Current:
		return "" // the next poll lists again
	case a.Listings < 2:
		c.List = sooner(c.List, at)
		return ""
	case e.Now.Before(at):
		c.Next = sooner(c.Next, at)
		return ""
	}
	return "its branch is gone"
}

// sooner returns the earlier of two times; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// settle keeps an Environment in its place if its entry is literal, or if its deletion is blocked.
func (c *Changes) settle(w Wanted, env *v1alpha1.Environment) Wanted {
	if env == nil || naming.Here(env) == w.place() {
		return w
	}
	text := fmt.Sprintf("entry %s: %s", w.entry.Name, Moved(env, w.entry))
	switch {
	case w.literal && w.Spec.Cluster != env.Spec.Cluster:
		c.Doubts, c.Held = append(c.Doubts, text), append(c.Held, env.Name)
		slices.Sort(c.Held)
	case w.literal:
		c.Notes = append(c.Notes, text)
	}
	w.Spec.Cluster, w.Spec.Namespace = env.Spec.Cluster, env.Spec.Namespace
	return w
}

// place returns where the environment is to run.
func (w Wanted) place() naming.Place {
	return naming.Place{Cluster: w.Spec.Cluster, Namespace: w.Spec.Namespace}
}

// moves returns why an Environment in another place is deleted.
func (w Wanted) moves(env *v1alpha1.Environment) string {
	if w.Spec.Cluster != env.Spec.Cluster {
		return fmt.Sprintf("its entry's cluster changed to %s; it is re-created there", ClusterName(w.Spec.Cluster))
	}
	return "its entry's namespace changed; it is re-created"
}

// Moved returns what a user has to do about an entry whose namespace or cluster changed; empty: nothing.
func Moved(env *v1alpha1.Environment, entry *v1alpha1.Entry) string {
	to, here := naming.PlaceOf(entry, env.Spec.Branch), naming.Here(env)
	if to == here {
		return ""
	}
	if to.Cluster != here.Cluster {
		return fmt.Sprintf("its entry belongs to %s now, and its objects are in the namespace %s of %s, where they stay as they are; move their data, then let it begin in the namespace %s there: berth confirm %s",
			ClusterName(to.Cluster), here.Namespace, ClusterName(here.Cluster), to.Namespace, env.Name)
	}
	return fmt.Sprintf("the namespace is now %s, but its objects stay in %s; move their data, then re-create the environment there: kubectl delete environment %s -n %s",
		to.Namespace, here.Namespace, env.Name, env.Namespace)
}

// ClusterName returns how messages name a cluster.
func ClusterName(cluster string) string {
	if cluster == "" {
		return "the agent's own cluster"
	}
	return "the cluster " + cluster
}
