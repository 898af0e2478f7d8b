package apply

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/plan"
)

const (
	// settling is how long the parts of a control plane may take to learn of a new namespace, grant or
	// kind: they watch each other, and API servers may be several.
	settling = 30 * time.Second
	// settlingRetry is when to look again meanwhile.
	settlingRetry = time.Second
)

const rbacGroup = "rbac.authorization.k8s.io"

// mark is something that was made: a namespace, the rights in one (or everywhere: ""), or a kind.
type mark struct{ what, name string }

func namespaceMark(name string) mark    { return mark{"namespace", name} }
func rightsMark(namespace string) mark  { return mark{"rights", namespace} }
func kindMark(gk schema.GroupKind) mark { return mark{"kind", gk.String()} }

// recent remembers for a while what we made, so that "there is no such namespace" right after we made
// it is understood as "not yet".
type recent struct {
	now func() time.Time

	mu   sync.Mutex
	made map[mark]time.Time
}

// note remembers what a step made.
func (r *recent) note(s plan.Step, done Done) {
	m, ok := markOf(s)
	if !ok || done == Deleted || done == Unchanged {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	maps.DeleteFunc(r.made, func(_ mark, at time.Time) bool { return now.Sub(at) >= settling })
	r.made[m] = now
	if m.what == namespaceMark("").what {
		r.made[rightsMark(m.name)] = now // what others grant in a new namespace takes a moment too
	}
}

func markOf(s plan.Step) (mark, bool) {
	switch {
	case isNamespace(s.Key):
		return namespaceMark(s.Key.Name), s.Live == nil
	case s.Key.Group == rbacGroup:
		return rightsMark(s.Key.Namespace), true
	case isCRD(s.Key) && s.Object != nil:
		return kindMark(definedBy(s.Object)), true
	}
	return mark{}, false
}

// proved forgets the grants in a namespace: a request has just shown that they are known.
func (r *recent) proved(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.made, rightsMark(namespace))
}

// any says whether one of the marks was set a moment ago.
func (r *recent) any(marks ...mark) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	return slices.ContainsFunc(marks, func(m mark) bool {
		at, ok := r.made[m]
		return ok && now.Sub(at) < settling
	})
}
