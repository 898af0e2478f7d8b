package live

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

const (
	// soon is the first pause of a confined watch that was refused: a new grant takes effect within milliseconds. Where no
	// pass waits for the watch, it begins effect after the grant, so that it is not refused.
	soon   = 10 * time.Millisecond
	effect = 100 * time.Millisecond
	// grantDue is how long the watch of a new namespace waits for a grant, which a named account has already.
	grantDue = time.Second
	// grace is how long a refusal of a confined watch means that the grant has not taken effect yet.
	grace = 30 * time.Second
)

// place is what one watch covers: a kind in the whole cluster or, if the kind is confined, in one namespace.
type place struct {
	schema.GroupKind
	namespace string
}

// namespaces is the place of all namespaces.
var namespaces = place{GroupKind: namespaceKind}

// confined is the state of a kind that is watched in one namespace. Its namespace, and the account's rights there, may come
// later than the watch.
type confined struct {
	// granted is when the account last got rights, or was about to get them.
	granted time.Time
	// delay is how long the watch waits for that.
	delay time.Duration
	// refusals counts the refused attempts. If environments with different accounts share the namespace, each refusal
	// makes it the turn of the next account.
	refusals int
}

func (w *Watches) confines(gk schema.GroupKind) bool { return slices.Contains(w.cfg.Confined, gk) }

// placeOf returns the place that covers an object.
func (w *Watches) placeOf(key manifest.Key) place {
	if gk := key.GroupKind(); w.confines(gk) {
		return place{gk, key.Namespace}
	}
	return place{GroupKind: key.GroupKind()}
}

// placesOf returns the places that an environment follows.
func (w *Watches) placesOf(f Following) set[place] {
	places := set[place]{}
	for _, gvk := range f.Kinds {
		places[w.placeOf(manifest.Key{Group: gvk.Group, Kind: gvk.Kind, Namespace: f.Namespace})] = struct{}{}
	}
	if len(w.cfg.Confined) == 0 {
		return places
	}
	for _, key := range f.Keys {
		if key.Namespace != "" && w.confines(key.GroupKind()) {
			places[w.placeOf(key)] = struct{}{}
		}
	}
	return places
}

// placesFor returns the places of a kind that a query depends on, in a fixed order.
func (w *Watches) placesFor(q Query, gk schema.GroupKind) []place {
	if !w.confines(gk) {
		return []place{{GroupKind: gk}}
	}
	var places []place
	for p := range w.environments[q.Environment].places {
		if p.GroupKind == gk {
			places = append(places, p)
		}
	}
	if len(places) == 0 {
		return []place{{gk, q.Namespace}}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.namespace, b.namespace) })
	return places
}

// waitsForNamespace reports whether a confined kind cannot be watched yet, because its namespace is not there. It is then
// known that it has no objects.
func (k *kind) waitsForNamespace() bool {
	if k.place.namespace == "" {
		return false
	}
	known := k.w.kinds[namespaces]
	if _, there := known.objects[nameOf(manifest.Key{Name: k.place.namespace})]; there {
		return false
	}
	if known.state == "" {
		k.state, k.message = "", ""
	}
	return true
}

// openConfined returns the watch of a confined kind, as the account of an environment.
func (k *kind) openConfined(resource schema.GroupVersionResource, selector string) (*cache.ListWatch, error) {
	client, err := k.w.cfg.As(k.account())
	if err != nil {
		return nil, err
	}
	return listWatch[*metav1.PartialObjectMetadataList](client.Resource(resource).Namespace(k.place.namespace), selector), nil
}

// account returns the user that watches a confined kind.
func (k *kind) account() string {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	users := k.w.usersOf(k.followers)
	if len(users) == 0 {
		return ""
	}
	return users[k.refusals%len(users)]
}

// usersOf returns the accounts of environments, in a fixed order.
func (w *Watches) usersOf(environments set[string]) []string {
	users := set[string]{}
	for e := range environments {
		users[w.environments[e].user] = struct{}{}
	}
	return slices.Sorted(maps.Keys(users))
}

// awaitsRights reports whether the refusal of a confined watch is normal, because a grant has not taken effect yet.
func (k *kind) awaitsRights(err error) bool {
	if k.place.namespace == "" || !apierrors.IsForbidden(err) {
		return false
	}
	k.refusals++
	return k.w.cfg.Clock.Since(k.granted) < grace
}

func (k *kind) firstPause() time.Duration {
	if k.place.namespace == "" {
		return firstPause
	}
	return soon
}

// succeed replaces the watch of a confined kind. The successor keeps the objects.
func (k *kind) succeed() *kind {
	k.stop()
	successor := newKind(k.w, k.place)
	successor.followers, successor.objects, successor.state, successor.message = k.followers, k.objects, k.state, k.message
	successor.confined = k.confined
	k.w.kinds[k.place] = successor
	return successor
}

// reopen watches a confined kind as another account.
func (k *kind) reopen() {
	if k.place.namespace != "" {
		k.succeed().start()
	}
}

// opens takes note of an object that may allow confined watches: a namespace, or the grant to an environment's account.
func (w *Watches) opens(key manifest.Key) {
	switch {
	case key.GroupKind() == namespaceKind:
		isNew := w.kinds[namespaces].state == ""
		w.eachConfined(key.Name, func(k *kind) {
			if isNew { // and the agent grants the rights right after it created the namespace
				k.granted, k.delay = w.cfg.Clock.Now(), grantDue
			}
			k.start()
		})
	case manifest.IsBinding(key):
		w.eachConfined(key.Namespace, func(k *kind) {
			k.granted = w.cfg.Clock.Now()
			if k.state != observed.Ungranted {
				w.later(effect, func(requeues) { k.retry() })
				return
			}
			k.state, k.message = observed.Syncing, "the list is not complete yet"
			k.retry()
		})
	}
}

// closes takes note that a namespace is gone, and its objects with it.
func (w *Watches) closes(key manifest.Key) {
	if key.GroupKind() != namespaceKind {
		return
	}
	w.eachConfined(key.Name, func(k *kind) {
		k.forget()
		successor := k.succeed()
		successor.state, successor.message, successor.confined = "", "", confined{}
	})
}

// namespacesKnown takes note that all namespaces are known, and so which ones do not exist.
func (w *Watches) namespacesKnown() {
	for p, k := range w.kinds {
		if p.namespace != "" {
			k.waitsForNamespace()
		}
	}
}

// eachConfined calls f for the confined kinds of a namespace.
func (w *Watches) eachConfined(namespace string, f func(*kind)) {
	for _, gk := range w.cfg.Confined {
		if k, ok := w.kinds[place{gk, namespace}]; ok {
			f(k)
		}
	}
}

// ungranted returns why an environment's account cannot watch a kind, and the command that grants the right.
func ungranted(p place, err error) string {
	reason := err.Error()
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		reason = status.Status().Message
	}
	_, rest, _ := strings.Cut(reason, `User "system:serviceaccount:`)
	user, _, _ := strings.Cut(rest, `"`)
	namespace, account, isAccount := strings.Cut(user, ":")
	if isAccount && !strings.Contains(reason, "impersonate") {
		reason += fmt.Sprintf("; grant it: kubectl create rolebinding %[1]s -n %[2]s --clusterrole=berth-environment --serviceaccount=%[3]s:%[1]s", account, p.namespace, namespace)
	}
	return fmt.Sprintf("cannot watch %s: %s", p.GroupKind, reason)
}
