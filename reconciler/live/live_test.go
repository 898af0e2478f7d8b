package live

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

func TestWhatMattersWakes(t *testing.T) {
	t.Parallel()
	for _, kind := range []schema.GroupVersionKind{configMaps, services, claims, deployments} {
		t.Run(kind.Kind, func(t *testing.T) {
			t.Parallel()
			o := observe(t)
			env := o.synced(kind)
			if seen := o.look(env); seen.Namespace == nil || len(seen.Objects) != 0 {
				t.Fatalf("at first: %+v; want a namespace and no objects", seen)
			}
			obj := o.write(manifest.FieldManager, env, sample(kind, "it"))
			key := manifest.KeyOf(obj)
			created := o.await(env, "a new object", has(obj)).Objects[key]
			if created.Ownership == "" || created.Digest != "1:abc" || created.Environment != env || created.UID != obj.GetUID() {
				t.Errorf("a new object is seen as %+v", created)
			}
			o.patch(obj, `{"metadata": {"annotations": {"berth.dev/digest": "1:other"}}}`)
			o.await(env, "an overwritten field", func(seen observed.State) bool {
				return seen.Objects[key].Ownership != created.Ownership && seen.Objects[key].Digest == "1:other"
			})
			o.write(manifest.FieldManager, env, sample(kind, "it"))
			o.await(env, "the field to be ours again", func(seen observed.State) bool {
				return seen.Objects[key].Ownership == created.Ownership
			})
			o.patch(obj, label(nil))
			o.await(env, "the label to be gone", lacks(obj))
			o.patch(obj, label(env))
			o.await(env, "the label to be back", has(obj))
			o.patch(obj, `{"metadata": {"finalizers": ["berth.dev/test"]}}`)
			o.delete(obj)
			o.await(env, "the deletion to begin", func(seen observed.State) bool { return seen.Objects[key].Deleting })
			o.patch(obj, `{"metadata": {"finalizers": null}}`)
			o.await(env, "the object to be gone", lacks(obj))
		})
	}
}

func TestWhatDoesNotMatterWakesNobody(t *testing.T) {
	t.Parallel()
	o := observe(t)
	definition, buoys := custom("Buoy")
	o.write(people, "", parse(definition))
	env := o.synced(configMaps, buoys)
	settings := o.write(manifest.FieldManager, env, sample(configMaps, "settings"))
	buoy := o.write(manifest.FieldManager, env, sample(buoys, "it"))
	o.await(env, "both objects", func(seen observed.State) bool { return has(settings)(seen) && has(buoy)(seen) })
	o.quiet(env, configMaps, func() {}) // the requeues for both have come
	o.quiet(env, buoys, func() {})

	for name, step := range map[string]struct {
		kind schema.GroupVersionKind
		do   func() *unstructured.Unstructured
	}{
		"another's own annotation": {configMaps, func() *unstructured.Unstructured {
			return o.patch(settings, `{"metadata": {"annotations": {"shape": "round"}}}`)
		}},
		"a status that does not change the health": {buoys, func() *unstructured.Unstructured {
			return o.patch(buoy, `{"status": {"lit": true}}`)
		}},
	} {
		var now *unstructured.Unstructured
		if n := o.quiet(env, step.kind, func() { now = step.do() }); n != 0 {
			t.Errorf("%s woke %d times", name, n)
		}
		if seen := o.look(env).Objects[manifest.KeyOf(now)]; seen.ResourceVersion != now.GetResourceVersion() {
			t.Errorf("%s: resource version %s is seen, want %s", name, seen.ResourceVersion, now.GetResourceVersion())
		}
	}
	before := o.requeuesOf(env)
	o.patch(buoy, `{"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Adrift"}]}}`)
	for o.requeuesOf(env) == before {
		o.next("the requeue for a change of health")
	}
}

func TestOwnWritesAreKnownAtOnceAndWakeNobody(t *testing.T) {
	t.Parallel()
	o := observe(t)
	env := o.synced(configMaps)
	// Whether the answer or the watch is faster is for chance to say: try often.
	n := o.quiet(env, configMaps, func() {
		for range 20 {
			settings := o.write(manifest.FieldManager, env, sample(configMaps, "settings"))
			o.Wrote(observed.Reduce(settings))
			seen := o.look(env).Objects[manifest.KeyOf(settings)]
			if seen.ResourceVersion != settings.GetResourceVersion() {
				t.Fatalf("after a write resource version %q is seen, want %q", seen.ResourceVersion, settings.GetResourceVersion())
			}
			other := sample(configMaps, "settings")
			unstructured.SetNestedField(other.Object, "red", "data", "colour")
			o.Wrote(observed.Reduce(o.write(manifest.FieldManager, env, other)))
		}
	})
	if n != 0 {
		t.Errorf("40 writes of our own woke %d times", n)
	}
}

func TestOldAnswersDoNotHideNewEvents(t *testing.T) {
	t.Parallel()
	o := observe(t)
	env := o.synced(configMaps)
	written := o.write(manifest.FieldManager, env, sample(configMaps, "settings"))
	stolen := o.patch(written, `{"data": {"colour": "red"}}`)
	key := manifest.KeyOf(written)
	newest := func(seen observed.State) bool {
		return seen.Objects[key].ResourceVersion == stolen.GetResourceVersion()
	}
	o.await(env, "the newest state", newest)
	o.Wrote(observed.Reduce(written))
	if !newest(o.look(env)) {
		t.Error("the late answer to a write took the place of what happened after it")
	}
}

func TestDeletedObjectsStayDeleted(t *testing.T) {
	t.Parallel()
	o := observe(t)
	env := o.synced(configMaps)
	settings := o.write(manifest.FieldManager, env, sample(configMaps, "settings"))
	o.await(env, "the object", has(settings))
	o.cable.cut() // no event comes any more
	o.delete(settings)
	o.Deleted(manifest.KeyOf(settings), settings.GetUID(), env)
	if has(settings)(o.look(env)) {
		t.Error("an object that we deleted is still seen")
	}
	o.Wrote(observed.Reduce(settings))
	if has(settings)(o.look(env)) {
		t.Error("the late answer to an earlier write brought it back")
	}
	again := o.write(manifest.FieldManager, env, sample(configMaps, "settings"))
	o.cable.mend()
	o.await(env, "the re-created object", func(seen observed.State) bool {
		return seen.Objects[manifest.KeyOf(again)].UID == again.GetUID()
	})
}

// A foreground deletion without dependants may be over before its answer arrives.
func TestAWatchThatIsFasterThanTheAnswer(t *testing.T) {
	t.Parallel()
	o := observe(t)
	env := o.synced(configMaps, claims)
	gone := o.write(manifest.FieldManager, env, sample(configMaps, "gone"))
	o.await(env, "the object", has(gone))
	o.delete(gone)
	o.await(env, "the end of the object", func(seen observed.State) bool { return !has(gone)(seen) })
	o.Wrote(observed.Reduce(gone))
	if has(gone)(o.look(env)) {
		t.Error("the answer to a write that came before the end brought it back")
	}
	// What loses its label ends for the watch, too, and may bear it again.
	freed := o.write(manifest.FieldManager, env, sample(claims, "freed"))
	o.await(env, "the claim", has(freed))
	o.patch(freed, label(nil))
	o.await(env, "the end of the claim", func(seen observed.State) bool { return !has(freed)(seen) })
	o.Wrote(observed.Reduce(o.write(manifest.FieldManager, env, sample(claims, "freed"))))
	if !has(freed)(o.look(env)) {
		t.Error("the answer to a write that brought the label back is not believed")
	}
}

func TestAnObjectThatIsListedAgainWasNotDeleted(t *testing.T) {
	t.Parallel()
	o := observe(t)
	env := o.synced(configMaps)
	settings := o.write(manifest.FieldManager, env, sample(configMaps, "settings"))
	o.await(env, "the object", has(settings))
	o.Deleted(manifest.KeyOf(settings), settings.GetUID(), env)
	o.cable.cut()
	o.cable.mend()
	o.await(env, "the object to be listed", has(settings))
}

func TestARelistFindsWhatWasMissed(t *testing.T) {
	t.Parallel()
	o := observe(t)
	env := o.synced(configMaps, claims)
	kept := o.write(manifest.FieldManager, env, sample(configMaps, "kept"))
	gone := o.write(manifest.FieldManager, env, sample(configMaps, "gone"))
	freed := o.write(manifest.FieldManager, env, sample(claims, "freed"))
	o.await(env, "all objects", func(seen observed.State) bool { return len(seen.Objects) == 3 })
	o.cable.cut()
	o.delete(gone)
	o.patch(freed, label(nil))
	stolen := o.patch(kept, `{"data": {"colour": "red"}}`)
	added := o.write(manifest.FieldManager, env, sample(configMaps, "added"))
	if seen := o.look(env); len(seen.Objects) != 3 || len(seen.Unknown) != 0 {
		t.Errorf("with a broken watch %d objects and %v unknown kinds are seen, want what was last known", len(seen.Objects), seen.Unknown)
	}
	o.cable.mend()
	o.await(env, "what was missed", func(seen observed.State) bool {
		return lacks(gone)(seen) && lacks(freed)(seen) && has(added)(seen) &&
			seen.Objects[manifest.KeyOf(kept)].ResourceVersion == stolen.GetResourceVersion()
	})
}

func TestEnvironmentsAreKeptApart(t *testing.T) {
	t.Parallel()
	o := observe(t)
	left, right := o.synced(configMaps), o.synced(configMaps)
	obj := o.write(manifest.FieldManager, left, sample(configMaps, "settings"))
	key := manifest.KeyOf(obj)
	o.await(left, "the object", has(obj))
	if n := len(o.look(right).Objects); n != 0 {
		t.Errorf("the other environment sees %d objects", n)
	}
	if seen := o.look(right, key).Objects[key]; seen.Environment != left {
		t.Errorf("in its place it sees the object of %q, want %q", seen.Environment, left)
	}
	lefts, rights := o.requeuesOf(left), o.requeuesOf(right)
	o.patch(obj, label(right))
	o.await(right, "the object that moved", has(obj))
	if has(obj)(o.look(left)) {
		t.Error("the old environment still has it")
	}
	for o.requeuesOf(left) == lefts || o.requeuesOf(right) == rights {
		o.next("both to be requeued")
	}
}

// Otherwise it would go on to believe that everything exists.
func TestWhoeverLosesAnObjectToAnotherEnvironmentsDeletionIsWoken(t *testing.T) {
	t.Parallel()
	o := observe(t)
	left, right := o.synced(configMaps), o.synced(configMaps)
	obj := o.write(manifest.FieldManager, left, sample(configMaps, "settings"))
	o.await(left, "the object", has(obj))
	before, other := o.requeuesOf(left), o.requeuesOf(right)
	o.Deleted(manifest.KeyOf(obj), obj.GetUID(), right)
	for o.requeuesOf(left) == before {
		o.next("the one that lost it to be requeued")
	}
	if o.requeuesOf(right) != other {
		t.Error("the one that deleted it is requeued for its own deletion")
	}
}

// Otherwise the environment whose place it takes would stay degraded until another event requeues it.
func TestWhoeverWaitsForAPlaceIsWokenWhenItIsFree(t *testing.T) {
	t.Parallel()
	o := observe(t)
	left, right := o.synced(configMaps), o.synced(configMaps)
	for _, test := range []struct {
		name string
		free func(*unstructured.Unstructured)
	}{
		{"unlabelled", func(obj *unstructured.Unstructured) { o.patch(obj, label(nil)) }},
		{"deleted", o.delete},
		{"deleted-by-us", func(obj *unstructured.Unstructured) { o.Deleted(manifest.KeyOf(obj), obj.GetUID(), "another") }},
	} {
		obj := o.write(manifest.FieldManager, left, sample(configMaps, test.name))
		key, before := manifest.KeyOf(obj), o.requeuesOf(left)
		o.patch(obj, label(right))
		o.await(right, "the object that moved", has(obj))
		for o.requeuesOf(left) == before {
			o.next("the one that lost it to be requeued")
		}
		if seen := o.look(left, key).Objects[key]; seen.Environment != right {
			t.Errorf("in its place it sees the object of %q, want %q", seen.Environment, right)
		}
		before = o.requeuesOf(left)
		test.free(obj)
		for o.requeuesOf(left) == before {
			o.next("it to be requeued when the object is " + test.name)
		}
	}
}

func TestWhatLiesInAnothersNamespaceIsNotOurs(t *testing.T) {
	t.Parallel()
	o := observe(t)
	namespaces := schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
	production, branch := o.synced(configMaps, namespaces), o.synced(configMaps, namespaces)
	o.patch(sample(namespaces, o.spaces[branch]), label(branch))
	o.await(branch, "the own namespace", func(seen observed.State) bool { return seen.Namespace.Environment == branch })
	trap := sample(configMaps, "trap")
	trap.SetNamespace(o.spaces[branch])
	before := o.requeuesOf(production)
	trap = o.write(manifest.FieldManager, production, trap)
	for o.requeuesOf(production) == before {
		o.next("the object with production's label")
	}
	if has(trap)(o.look(production)) {
		t.Error("production sees what a branch has labelled as production's")
	}
	o.patch(trap, label(branch))
	o.await(branch, "its own object", has(trap))
}

func TestNamespacesAreSeenWhoeverTheyBelongTo(t *testing.T) {
	t.Parallel()
	o := observe(t)
	namespaces := schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
	env := o.synced(configMaps, namespaces)
	space := sample(namespaces, o.spaces[env])
	o.patch(space, label("theirs"))
	o.await(env, "the foreign label", func(seen observed.State) bool { return seen.Namespace.Environment == "theirs" })
	o.patch(space, label(env))
	seen := o.await(env, "our label", func(seen observed.State) bool { return seen.Namespace.Environment == env })
	if len(seen.Objects) != 0 {
		t.Error("the own namespace is among the environment's objects")
	}
	if !has(space)(o.look(env, manifest.KeyOf(space))) {
		t.Error("the own namespace is not seen when asked for")
	}
	o.delete(space)
	o.await(env, "the namespace to go", func(seen observed.State) bool { return seen.Namespace.Deleting })
	o.await(env, "the namespace to be gone", func(seen observed.State) bool { return seen.Namespace == nil })
}

func TestForgottenEnvironmentsAreLeftAlone(t *testing.T) {
	t.Parallel()
	o := observe(t)
	stays, goes := o.synced(configMaps), o.synced(configMaps, claims)
	o.Forget(goes)
	o.write(manifest.FieldManager, goes, sample(configMaps, "settings"))
	o.await(stays, "another's object", has(o.write(people, stays, labelled(sample(configMaps, "mine"), stays))))
	if n := o.requeuesOf(goes); n > 2 {
		t.Errorf("a forgotten environment was requeued %d times", n)
	}
	// No environment follows claims any more: their watch has ended, and starts again for the next one.
	begun := len(o.cable.requests("persistentvolumeclaims"))
	again := o.environment(claims)
	if state := o.look(again).Unknown[claims.GroupKind()].State; state != observed.Syncing {
		t.Errorf("a kind that was no longer followed is %q, want %q", state, observed.Syncing)
	}
	o.await(again, "the kind to be known", func(seen observed.State) bool { return len(seen.Unknown) == 0 })
	if len(o.cable.requests("persistentvolumeclaims")) == begun {
		t.Error("the kind became known without a watch")
	}
}

func labelled(obj *unstructured.Unstructured, environment string) *unstructured.Unstructured {
	obj.SetLabels(map[string]string{manifest.LabelEnvironment: environment})
	return obj
}

func TestFollowBeforeRun(t *testing.T) {
	t.Parallel()
	requeued := make(chan string, 10)
	o := observe(t)
	w := New(Config{Dynamic: o.cfg.Dynamic, Metadata: o.cfg.Metadata, Mapper: o.mapper, Requeue: func(e string) { requeued <- e }})
	w.Follow("early", Following{Namespace: "default", Kinds: []schema.GroupVersionKind{configMaps}})
	query := Query{Environment: "early", Namespace: "default", Kinds: []schema.GroupVersionKind{configMaps}}
	if state := w.Observe(query).Unknown[configMaps.GroupKind()].State; state != observed.Syncing {
		t.Errorf("before Run the kind is %q, want %q", state, observed.Syncing)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	for len(w.Observe(query).Unknown) > 0 {
		<-requeued
	}
	cancel()
	<-ended
	if w.Observe(query).Namespace == nil {
		t.Error("what was known is forgotten after Run")
	}
}

func TestIdleWatchesCostNothing(t *testing.T) {
	t.Parallel()
	o := observe(t)
	env := o.synced(configMaps, claims, deployments)
	deployment := o.write(manifest.FieldManager, env, sample(deployments, "web"))
	o.await(env, "the rollout", func(seen observed.State) bool {
		return seen.Objects[manifest.KeyOf(deployment)].Health.Status == health.Healthy
	})
	o.until("the watches of its pods to begin, if it took long enough for them", func() bool {
		o.Watches.mu.Lock()
		defer o.Watches.mu.Unlock()
		for namespace, s := range o.scopes {
			if !s.known() || len(o.cable.requests("/"+namespace+"/events")) == 0 {
				return false
			}
		}
		return true
	})
	before, began := len(o.cable.requests("")), time.Now()
	// Longer than the pods are watched beyond the end of a rollout.
	<-time.After(2 * linger)
	if sent := o.cable.requests("")[before:]; len(sent) != 0 {
		t.Errorf("%d requests in %s without anything to do:\n%s", len(sent), time.Since(began), strings.Join(sent, "\n"))
	}
}
