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
	// ID is the value of its label. Name is the name of its Environment object. Commit is what should run there.
	ID, Name, Commit string
}

// claims has the objects that environments in shared namespaces want. With them, an object that moves in Git from one
// environment to another is handed over instead of deleted and re-created.
type claims struct {
	mu sync.Mutex
	of map[string]claim // by id
}

// claim is what one environment wants.
type claim struct {
	name string
	// commit is the newest commit that was looked at, whether or not it could be rendered.
	commit string
	// digest is the digest of the input that keys were made from.
	digest string
	keys   map[manifest.Key]struct{}
	// freed are the objects that other environments released since this one last asked.
	freed []manifest.Key
	// awaits is the id of the sibling that has to be reconciled first; empty: none.
	awaits string
}

func (c claim) has(key manifest.Key) bool { _, ok := c.keys[key]; return ok }

// look records that an environment was reconciled at a commit, and returns the ids of those that wait for that. If the
// commit could not be rendered, the previous claim still holds.
func (c *claims) look(e Environment) (waiting []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.of[e.ID]
	was.name, was.commit = e.Name, e.Commit
	c.of[e.ID] = was
	return c.awaiting(e.ID)
}

// awaiting returns the ids of the environments that wait for another one to be reconciled.
func (c *claims) awaiting(id string) (waiting []string) {
	for other, claim := range c.of {
		if claim.awaits == id {
			waiting = append(waiting, other)
		}
	}
	return waiting
}

// set records what an environment wants. It returns the ids of those that wait for that, or that want what this one
// released.
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

// freed returns the objects that others released since an environment last asked.
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

// forget drops an environment, and returns the ids of those that want something that it wanted.
func (c *claims) forget(id string) (waiting []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.of[id]
	delete(c.of, id)
	return c.free(was.keys)
}

// free records that some objects are released, and returns the ids of the environments that want any of them.
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

// heirs returns, by object, another environment that wants what this one has and no longer wants.
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

// released returns the wanted objects that an environment may take over. Other environments released them, or those
// environments do not exist any more. The latter applies to the namespace too.
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

// isLeft reports whether an object of this namespace, or the namespace, belongs to an environment that does not exist
// any more. That environment must be of this installation. No environment manages such objects, as with objects that
// were made by hand.
func (e Environment) isLeft(live observed.Object) bool {
	inside := live.Key.Namespace == e.Namespace || live.Key.Kind == "Namespace" && live.Key.Name == e.Namespace
	return inside && live.Environment != e.ID && e.Exists != nil && plan.SameInstallation(live.Environment, e.ID) && !e.Exists(live.Environment)
}

// undecided returns the name of a sibling that was not reconciled yet at the commit that should run there. That sibling
// may want what this environment no longer wants. look or set report when it has been reconciled.
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

// siblingPatience is how long an environment waits for a sibling to be reconciled. That takes a moment after a push or
// a restart, but a repository may be unreachable. siblingLook is when the environment asks again.
const (
	siblingPatience = 30 * time.Second
	siblingLook     = 200 * time.Millisecond
)

// handover adds the objects that move between environments to the input of a plan. This happens only in a shared
// namespace. It returns disputed if the environment wants what a sibling has, and that sibling has not been reconciled
// yet.
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

// moving reports whether the environment has anything that it no longer wants, and whether another one has anything
// that this one wants.
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

// claim records what the environment wants, which may be more than what runs. A commit that is refused because another
// environment has one of its objects still claims that object.
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
		r.Requeue(id)
	}
}
