package live

import (
	"slices"
	"testing"

	"berth.dev/berth/reconciler/manifest"
)

// Obstacles of an environment need not have a watched label.
func TestWhoeverAttendsAnObjectIsWokenByItsChanges(t *testing.T) {
	t.Parallel()
	o := observe(t)
	env := o.synced(configMaps)
	strange := o.write("helm", env, sample(configMaps, "strange"))
	key := manifest.KeyOf(strange)
	missing := key
	missing.Name = "missing"
	o.Attend(env, []manifest.Key{key, missing})
	known := func() bool {
		o.Watches.mu.Lock()
		defer o.Watches.mu.Unlock()
		return o.attended[key].known && o.attended[missing].known
	}
	o.until("both have been looked at", known)
	if moved := o.Moved(env); !slices.Equal(moved, []manifest.Key{missing, key}) {
		t.Errorf("%v may have changed before they were watched, and not both", moved)
	}
	o.Attend(env, []manifest.Key{key, missing})
	if moved := o.Moved(env); len(moved) > 0 {
		t.Errorf("before anything happened, %v has changed", moved)
	}
	o.patch(strange, `{"metadata":{"annotations":{"meta.helm.sh/release-name":null,"a":"b"}}}`)
	o.until("the annotation is seen", func() bool { return slices.Equal(o.Moved(env), []manifest.Key{key}) })
	o.write("kubectl", env, sample(configMaps, "missing"))
	o.until("the missing one is seen", func() bool { return slices.Equal(o.Moved(env), []manifest.Key{missing}) })
	o.delete(strange)
	o.until("the deletion is seen", func() bool { return slices.Equal(o.Moved(env), []manifest.Key{key}) })

	// Without a name, a key stands for all objects of its kind.
	every := manifest.Key{Kind: key.Kind, Namespace: key.Namespace}
	o.Attend(env, []manifest.Key{every})
	o.until("all are looked at", func() bool { return slices.Equal(o.Moved(env), []manifest.Key{every}) })
	first, second := o.write("kubectl", env, sample(configMaps, "first")), o.write("kubectl", env, sample(configMaps, "second"))
	o.until("both new ones are seen", func() bool { o.Moved(env); return o.attendedHas(every, "first", "second") })
	o.delete(first)
	o.until("the end of one is seen", func() bool {
		return slices.Equal(o.Moved(env), []manifest.Key{every}) && !o.attendedHas(every, "first")
	})
	o.patch(second, `{"metadata":{"annotations":{"a":"b"}}}`)
	o.until("the change of another is seen", func() bool { return slices.Equal(o.Moved(env), []manifest.Key{every}) })

	o.Attend(env, nil)
	o.Watches.mu.Lock()
	defer o.Watches.mu.Unlock()
	if len(o.attended) > 0 {
		t.Errorf("%d objects are attended without an environment", len(o.attended))
	}
}

// attendedHas reports whether objects with these names are known of a kind that is attended.
func (o *observer) attendedHas(key manifest.Key, names ...string) bool {
	o.Watches.mu.Lock()
	defer o.Watches.mu.Unlock()
	return !slices.ContainsFunc(names, func(name string) bool { return o.attended[key].seen[name] == "" })
}

// A workload's status changes all the time, and unblocks nothing.
func TestAnAttendedObjectsStatusIsNoNews(t *testing.T) {
	status := sample(deployments, "api")
	before := outlineOf(status)
	status.SetResourceVersion("2")
	status.Object["status"] = map[string]any{"replicas": int64(1)}
	if outlineOf(status) != before {
		t.Error("the status makes another outline")
	}
	status.SetLabels(map[string]string{"a": "b"})
	if outlineOf(status) == before {
		t.Error("a label makes none")
	}
}

// The watch of an attended object may come before that of its kind, and then a pass still sees the old owner.
func TestWhoeverAttendsAnObjectIsRequeuedWhenItsKindLosesIt(t *testing.T) {
	w := New(Config{})
	k := newKind(w, place{GroupKind: configMaps.GroupKind()})
	k.gvk = configMaps
	w.kinds[k.place] = k
	obj := large("posts", "settings", 1)
	k.put(k.reduce(obj))
	key := k.reduce(obj).live.Key
	w.Attend("mine", []manifest.Key{key})
	if moved := w.Moved("mine"); len(moved) > 0 {
		t.Fatalf("moved at first: %v", moved)
	}
	obj.ResourceVersion = "2000000"
	k.remove(k.reduce(obj))
	if moved := w.Moved("mine"); len(moved) != 1 || moved[0] != key {
		t.Errorf("moved: %v, want %v", moved, key)
	}
}
