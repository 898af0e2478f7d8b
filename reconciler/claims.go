package reconciler

import (
	"sync"
	"time"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// Sibling is another environment in the same namespace.
type Sibling struct {
	// ID is that of its label, Name that of the Environment object; Commit is what should run there.
	ID, Name, Commit string
}

// claims know which objects the environments want that share namespaces, so that an object which moves in Git from one
// to another is handed over instead of being deleted and re-created.
type claims struct {
	mu sync.Mutex
	of map[string]claim // by id
}

// claim is what one environment wants.
type claim struct {
	name string
	// commit is the newest that was looked at, whether or not it could be rendered.
	commit string
	// digest stands for what keys were made from.
	digest string
	keys   map[manifest.Key]struct{}
	// freed are objects that others have let go since it last asked.
	freed []manifest.Key
	// awaits is the id of the sibling that it waits for to be looked at; empty: none.
	awaits string
}

func (c claim) has(key manifest.Key) bool { _, ok := c.keys[key]; return ok }

// look notes that an environment has been looked at for a commit, and returns who waits for that. Of one that could not
// be rendered, what it wanted before still holds.
func (c *claims) look(e Environment) (waiting []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.of[e.ID]
	was.name, was.commit = e.Name, e.Commit
	c.of[e.ID] = was
	return c.awaiting(e.ID)
}

// awaiting returns who waits for an environment to be looked at.
func (c *claims) awaiting(id string) (waiting []string) {
	for other, claim := range c.of {
		if claim.awaits == id {
			waiting = append(waiting, other)
		}
	}
	return waiting
}

// set notes what an environment wants, and returns who waits for that, or for what it wants no more.
func (c *claims) set(e Environment, d desired) (waiting []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.of[e.ID]
	if was.keys != nil && was.commit == e.Commit && was.digest == d.digest {
		return c.awaiting(e.ID)
	}
	keys := make(map[manifest.Key]struct{}, d.set.Len())
	for _, o := range d.set.Objects {
		keys[o.Key()] = struct{}{}
	}
	c.of[e.ID] = claim{name: e.Name, commit: e.Commit, digest: d.digest, keys: keys, freed: was.freed, awaits: was.awaits}
	left := map[manifest.Key]struct{}{}
	for key := range was.keys {
		if _, still := keys[key]; !still {
			left[key] = struct{}{}
		}
	}
	return append(c.awaiting(e.ID), c.free(left)...)
}

// freed returns what others have let go since an environment last asked.
func (c *claims) freed(id string) []manifest.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	own, ok := c.of[id]
	if !ok || len(own.freed) == 0 {
		return nil
	}
	freed := own.freed
	own.freed = nil
	c.of[id] = own
	return freed
}

// forget drops an environment, and returns who wants something that it wanted.
func (c *claims) forget(id string) (waiting []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.of[id]
	delete(c.of, id)
	return c.free(was.keys)
}

// free notes that some objects are let go, and returns who wants any of them.
func (c *claims) free(keys map[manifest.Key]struct{}) (waiting []string) {
	for id, other := range c.of {
		before := len(other.freed)
		for key := range keys {
			if other.has(key) {
				other.freed = append(other.freed, key)
			}
		}
		if len(other.freed) > before {
			c.of[id] = other
			waiting = append(waiting, id)
		}
	}
	return waiting
}

// heirs returns who else wants the objects that an environment has and does not want any more.
func (c *claims) heirs(e Environment, d desired, o observed.State) map[manifest.Key]string {
	var heirs map[manifest.Key]string
	wanted := map[manifest.Key]bool{}
	for _, object := range d.set.Objects {
		wanted[object.Key()] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, live := range o.Objects {
		if live.Environment != e.ID || wanted[key] {
			continue
		}
		for id, other := range c.of {
			if id != e.ID && other.has(key) && (heirs[key] == "" || other.name < heirs[key]) {
				if heirs == nil {
					heirs = map[manifest.Key]string{}
				}
				heirs[key] = other.name
			}
		}
	}
	return heirs
}

// released returns what an environment may take over of what it wants: objects of others that these let go, or that do
// not exist any more. The latter goes for the namespace as well.
func (c *claims) released(e Environment, o observed.State) map[manifest.Key]bool {
	released := map[manifest.Key]bool{}
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.of[e.ID]
	for key, live := range o.Objects {
		if live.Environment == "" || live.Environment == e.ID || !own.has(key) {
			continue
		}
		owner, known := c.of[live.Environment]
		if known && owner.keys != nil && !owner.has(key) || e.isLeft(live) {
			released[key] = true
		}
	}
	if o.Namespace != nil && e.isLeft(*o.Namespace) {
		released[o.Namespace.Key] = true
	}
	return released
}

// isLeft reports whether an object of this namespace, or the namespace, belongs to an environment of this installation that
// does not exist any more. Nobody looks after it, as after what was made by hand.
func (e Environment) isLeft(live observed.Object) bool {
	inside := live.Key.Namespace == e.Namespace || live.Key.Kind == "Namespace" && live.Key.Name == e.Namespace
	return inside && live.Environment != e.ID && e.Exists != nil && plan.SameInstallation(live.Environment, e.ID) && !e.Exists(live.Environment)
}

// undecided returns the name of a sibling that has not been looked at for what should run there: it may want what
// the environment has no use for. When it has been, look or set say so.
func (c *claims) undecided(e Environment, siblings []Sibling) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.of[e.ID]
	own.awaits = ""
	name := ""
	for _, s := range siblings {
		if c.of[s.ID].commit != s.Commit {
			own.awaits, name = s.ID, s.Name
			break
		}
	}
	c.of[e.ID] = own
	return name
}

// siblingPatience is how long an environment waits for a sibling to be looked at: after a push or a restart that takes
// a moment, but a repository may be out of reach. siblingLook is when it asks again.
const (
	siblingPatience = 30 * time.Second
	siblingLook     = 200 * time.Millisecond
)

// handover adds to the input of a plan what passes from one environment to another, which happens only in a shared
// namespace. It returns disputed if the environment wants what a sibling has that has not been reconciled yet.
func (r *Reconciler) handover(e Environment, m *memory, d desired, in *plan.Input) sight {
	if !e.SharedNamespace {
		return complete
	}
	in.Heirs, in.Released = r.claims.heirs(e, d, in.Observed), r.claims.released(e, in.Observed)
	leaves, contested := moving(e, d, *in)
	if e.Siblings != nil && (leaves || contested) {
		in.Undecided = r.claims.undecided(e, e.Siblings())
	}
	switch {
	case in.Undecided == "":
		m.awaited = time.Time{}
	case m.awaited.IsZero():
		m.awaited = r.Now()
	case r.Now().Sub(m.awaited) > siblingPatience:
		in.Undecided = ""
	}
	if contested && in.Undecided != "" {
		return disputed
	}
	return complete
}

// moving reports whether the environment has anything that it does not want any more, and whether another has anything
// that it wants.
func moving(e Environment, d desired, in plan.Input) (leaves, contested bool) {
	wanted := make(map[manifest.Key]bool, d.set.Len())
	for _, object := range d.set.Objects {
		wanted[object.Key()] = true
	}
	for key, live := range in.Observed.Objects {
		switch {
		case live.Environment == e.ID:
			leaves = leaves || !wanted[key]
		case live.Environment != "" && wanted[key] && !in.Released[key]:
			contested = true
		}
	}
	return leaves, contested
}

// claim notes what the environment wants, which may be more than what runs: a commit that is refused because another
// environment has one of its objects wants it all the same.
func (r *Reconciler) claim(e Environment, d desired, why error) {
	if !e.SharedNamespace || isRendering(why) {
		return
	}
	var waiting []string
	if why != nil {
		waiting = r.claims.look(e)
	} else {
		waiting = r.claims.set(e, d)
	}
	for _, id := range waiting {
		r.Wake(id)
	}
}
