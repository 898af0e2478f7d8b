package reconciler

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

func keyNamed(name string) manifest.Key {
	return manifest.Key{Kind: "ConfigMap", Namespace: "posts", Name: name}
}

func desiredOf(names ...string) desired {
	var set manifest.Set
	for _, name := range names {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("v1")
		u.SetKind("ConfigMap")
		u.SetNamespace("posts")
		u.SetName(name)
		set.Objects = append(set.Objects, manifest.Object{Unstructured: u})
	}
	return desired{set: set, digest: strings.Join(names, " ")}
}

// seen returns what the cluster has: objects by name, each with its owner.
func seen(owners map[string]string) observed.State {
	o := observed.State{Objects: map[manifest.Key]observed.Object{}}
	for name, owner := range owners {
		o.Objects[keyNamed(name)] = observed.Object{Key: keyNamed(name), Environment: owner}
	}
	return o
}

func TestAnObjectPassesFromOneEnvironmentToAnother(t *testing.T) {
	c := claims{of: map[string]claim{}}
	back, front := Environment{ID: "inst.back", Name: "posts.back.main", Commit: "1"}, Environment{ID: "inst.front", Name: "posts.front.main", Commit: "1"}
	c.set(back, desiredOf("api", "web"))
	c.set(front, desiredOf("page"))
	siblings := []Sibling{{ID: front.ID, Name: front.Name, Commit: "2"}}

	// The environment that already has web is the first to get the commit that moves it.
	back.Commit = "2"
	if waiting := c.set(back, desiredOf("api")); len(waiting) > 0 {
		t.Errorf("%q wait for what no other environment wants", waiting)
	}
	now := seen(map[string]string{"api": back.ID, "web": back.ID})
	if c.undecided(back, siblings) != front.Name {
		t.Error("it does not wait for the other one")
	}
	front.Commit = "2"
	if waiting := c.set(front, desiredOf("page", "web")); !slices.Equal(waiting, []string{back.ID}) {
		t.Errorf("%q are requeued", waiting)
	}
	if got := c.undecided(back, siblings); got != "" {
		t.Errorf("it waits for %q", got)
	}
	if heirs := c.heirs(back, desiredOf("api"), now); len(heirs) != 1 || heirs[keyNamed("web")] != front.Name {
		t.Errorf("the heirs are %v", heirs)
	}
	if released := c.released(front, now); len(released) != 1 || !released[keyNamed("web")] {
		t.Errorf("released is %v", released)
	}

	// And back in the other order: the environment that wants it is refused first, and requeued when it is free.
	c.set(back, desiredOf("api", "web"))
	now = seen(map[string]string{"web": front.ID})
	if released := c.released(back, now); len(released) > 0 {
		t.Errorf("what the other still wants is released: %v", released)
	}
	c.look(front)
	if waiting := c.set(front, desiredOf("page")); !slices.Equal(waiting, []string{back.ID}) {
		t.Errorf("%q are requeued", waiting)
	}
	if freed := c.freed(back.ID); !slices.Equal(freed, []manifest.Key{keyNamed("web")}) || c.freed(back.ID) != nil {
		t.Errorf("freed is %v", freed)
	}
	if released := c.released(back, now); !released[keyNamed("web")] {
		t.Errorf("released is %v", released)
	}
}

// An earlier claim holds while the newest commit of its environment cannot be rendered.
func TestWhoCannotBeRenderedLetsNothingGo(t *testing.T) {
	c := claims{of: map[string]claim{}}
	back, front := Environment{ID: "inst.back", Commit: "1"}, Environment{ID: "inst.front", Commit: "1"}
	c.set(back, desiredOf("web"))
	c.set(front, desiredOf("web"))
	back.Commit = "2"
	c.look(back)
	if released := c.released(front, seen(map[string]string{"web": back.ID})); len(released) > 0 {
		t.Errorf("released is %v", released)
	}
	// Nothing is known either about an environment that was never rendered, or that no longer exists.
	c.forget(back.ID)
	c.look(back)
	if released := c.released(front, seen(map[string]string{"web": back.ID})); len(released) > 0 {
		t.Errorf("released is %v", released)
	}
}

// Objects of an environment that no longer exists have no owner. An environment that wants them takes them over at
// once.
func TestWhatAnEnvironmentLeftBehindIsTakenOver(t *testing.T) {
	namespace := manifest.Key{Kind: "Namespace", Name: "posts"}
	cluster := seen(map[string]string{"api": "inst.main", "web": "other.main", "page": "inst.main", "own": "inst.trunk"})
	cluster.Namespace = &observed.Object{Key: namespace, Environment: "inst.main"}
	elsewhere := manifest.Key{Kind: "ConfigMap", Namespace: "kube-system", Name: "api"}
	cluster.Objects[elsewhere] = observed.Object{Key: elsewhere, Environment: "inst.main"}

	c, exists := claims{of: map[string]claim{}}, true
	before := Environment{ID: "inst.main", Name: "posts.production.main", Namespace: "posts", Commit: "1"}
	after := Environment{ID: "inst.trunk", Name: "posts.production.trunk", Namespace: "posts", Commit: "1",
		Exists: func(id string) bool { return id != before.ID || exists }}
	c.set(before, desiredOf("api", "page"))
	c.set(after, desiredOf("api", "web", "own"))
	if got := c.released(after, cluster); len(got) > 0 {
		t.Errorf("%v are taken from an environment that exists", got)
	}
	exists = false
	if waiting := c.forget(before.ID); !slices.Equal(waiting, []string{after.ID}) {
		t.Errorf("%q are requeued", waiting)
	}
	if got := c.freed(after.ID); !slices.Equal(got, []manifest.Key{keyNamed("api")}) {
		t.Errorf("%v are free", got)
	}
	want := map[manifest.Key]bool{keyNamed("api"): true, namespace: true}
	if got := c.released(after, cluster); !maps.Equal(got, want) {
		t.Errorf("%v may be taken over, want %v", got, want)
	}
	after.Exists = nil
	if got := c.released(after, cluster); len(got) > 0 {
		t.Errorf("%v are taken over although it is unknown which environments exist", got)
	}
}
