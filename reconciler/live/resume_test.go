package live

import (
	"maps"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"berth.dev/berth/internal/faulttest"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// lists returns how many lists of each resource were asked for, as a list or as the beginning of a watch.
func (c *cable) lists(t *testing.T) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, sent := range c.requests("resourceVersion") {
		target, err := url.Parse(strings.TrimPrefix(sent, "GET "))
		if err != nil {
			t.Fatal(err)
		}
		if query := target.Query(); !query.Has("watch") || query.Get("sendInitialEvents") == "true" {
			all[path.Base(target.Path)]++
		}
	}
	return all
}

// After an outage, the watches go on at once and not after their pauses, and each kind is listed once.
func TestResumeListsEachKindOnce(t *testing.T) {
	t.Parallel()
	var pauses atomic.Int64
	o := observeAs(t, cluster(t).RESTConfig(), Config{Jitter: func() float64 {
		pauses.Add(1)
		return 1e6 // lasts for hours
	}})
	env := o.synced(configMaps, claims)
	settings := o.write(manifest.FieldManager, env, sample(configMaps, "settings"))
	claim := o.write(manifest.FieldManager, env, sample(claims, "claim"))
	o.await(env, "all objects", func(seen observed.State) bool { return len(seen.Objects) == 2 })
	once := o.cable.lists(t)
	if once["configmaps"] != 1 || once["persistentvolumeclaims"] != 1 || once["namespaces"] != 1 {
		t.Fatalf("before the outage there were lists: %v", once)
	}

	o.cable.cut()
	o.delete(settings)
	edited := o.patch(claim, `{"metadata": {"labels": {"edited": "by-hand"}}}`)
	o.until("all watches to pause", func() bool { return pauses.Load() == int64(len(once)) })
	o.cable.mend()
	o.Resume()
	o.until("what was missed", func() bool {
		seen := o.look(env)
		// A controller may have written the status of the claim since.
		return lacks(settings)(seen) && compare(seen.Objects[manifest.KeyOf(claim)].ResourceVersion, edited.GetResourceVersion()) >= 0
	})
	twice := maps.Clone(once)
	for kind := range twice {
		twice[kind]++
	}
	o.until("the lists of all kinds", func() bool { return len(o.cable.requests("sendInitialEvents")) >= 2*len(once) })
	if got := o.cable.lists(t); !maps.Equal(got, twice) {
		t.Errorf("after the outage there were lists: %v, want %v", got, twice)
	}
}

// A watch whose connection breaks goes on where it was, if the API server accepts another one.
func TestABrokenConnectionCostsNoList(t *testing.T) {
	t.Parallel()
	direct := cluster(t).RESTConfig()
	link := faulttest.To(t, direct)
	o := observeAs(t, link.Config(direct), Config{})
	env := o.synced(configMaps)
	first := o.write(manifest.FieldManager, env, sample(configMaps, "first"))
	o.await(env, "the first object", has(first))
	before := o.cable.lists(t)["configmaps"]
	link.Break()
	second := o.write(manifest.FieldManager, env, sample(configMaps, "second"))
	o.await(env, "the second object", has(second))
	if n := o.cable.lists(t)["configmaps"] - before; n != 0 {
		t.Errorf("%d lists after the connection broke", n)
	}
}
