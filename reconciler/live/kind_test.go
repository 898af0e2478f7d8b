package live

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

var crds = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// custom returns the definition of a kind that no other test has, and the kind.
func custom(name string) (definition string, kind schema.GroupVersionKind) {
	kind = schema.GroupVersionKind{Group: strings.ToLower(name) + ".example.com", Version: "v1", Kind: name}
	plural := strings.ToLower(name) + "s"
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.%[2]s}
spec:
  group: %[2]s
  scope: Namespaced
  names: {plural: %[1]s, kind: %[3]s}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, plural, kind.Group, name), kind
}

func TestAKindInAWrongGroupIsFoundElsewhere(t *testing.T) {
	t.Parallel()
	o := observe(t)
	kind := schema.GroupVersionKind{Version: "v1", Kind: "Deployment"}
	o.await(o.environment(kind), "the kind to be missed", func(seen observed.State) bool {
		u := seen.Unknown[kind.GroupKind()]
		return u.State == observed.NotServed && u.Elsewhere == "apps/v1"
	})
}

func TestAKindAppearsAndDisappears(t *testing.T) {
	t.Parallel()
	o := observe(t)
	text, kind := custom("Ferry")
	env := o.environment(crds, kind, configMaps)
	seen := o.await(env, "the kind to be missed", func(seen observed.State) bool {
		return len(seen.Unknown) == 1 && seen.Unknown[kind.GroupKind()].State == observed.NotServed
	})
	if message := seen.Unknown[kind.GroupKind()].Message; !strings.Contains(message, "Ferry.ferry.example.com") {
		t.Errorf("the message %q does not name the kind", message)
	}

	definition := o.write(manifest.FieldManager, env, parse(text))
	o.await(env, "the kind to be served", func(seen observed.State) bool { return len(seen.Unknown) == 0 })
	ferry := o.write(manifest.FieldManager, env, sample(kind, "it"))
	o.await(env, "an object of the kind", has(ferry))

	o.delete(definition)
	seen = o.await(env, "the kind to be gone", func(seen observed.State) bool {
		return seen.Unknown[kind.GroupKind()].State == observed.NotServed
	})
	if has(ferry)(seen) {
		t.Error("an object outlived its kind")
	}
	o.write(manifest.FieldManager, env, parse(text))
	t.Cleanup(func() { o.delete(definition) })
	o.await(env, "the kind to be back", func(seen observed.State) bool { return len(seen.Unknown) == 0 })
}

func TestAVersionThatIsNoLongerServedIsWatchedInAnother(t *testing.T) {
	t.Parallel()
	o := observe(t)
	old := schema.GroupVersionKind{Group: "apps", Version: "v1beta1", Kind: "Deployment"}
	env := o.synced(old)
	web := o.write(manifest.FieldManager, env, sample(deployments, "web"))
	o.await(env, "the object", has(web))
}

// A CRD may stop serving the version that a kind was watched in: it is then watched in one that is served.
func TestAKindMovesToAnotherVersion(t *testing.T) {
	t.Parallel()
	o := observe(t)
	text, kind := custom("Barge")
	definition := o.write(people, "", parse(text))
	t.Cleanup(func() { o.delete(definition) })
	env := o.synced(kind)
	barge := o.write(manifest.FieldManager, env, sample(kind, "it"))
	o.await(env, "the object", has(barge))

	const open = `"schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}`
	o.patch(definition, `{"spec": {"versions": [
		{"name": "v1", "served": false, "storage": true, `+open+`},
		{"name": "v2", "served": true, "storage": false, `+open+`}]}}`)
	seen := o.await(env, "the object in the other version", func(seen observed.State) bool {
		return seen.Objects[manifest.KeyOf(barge)].APIVersion == kind.Group+"/v2"
	})
	if len(seen.Unknown) != 0 {
		t.Errorf("unknown: %v", seen.Unknown)
	}
}

func TestWithoutRightsAKindIsUnwatchedUntilTheyAreGranted(t *testing.T) {
	t.Parallel()
	space := cluster(t).Namespace(t)
	admin := observe(t)
	account := sample(schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccount"}, "powerless")
	account.SetNamespace(space)
	admin.write(people, "", account)
	rights, err := cluster(t).ConfigFor(t.Context(), space, "powerless")
	if err != nil {
		t.Fatal(err)
	}
	o := observeAs(t, rights, Config{})
	env := o.environment(configMaps)
	seen := o.await(env, "both kinds to be refused", func(seen observed.State) bool {
		return seen.Unknown[configMaps.GroupKind()].State == observed.Unwatched && seen.Unknown[namespaceKind].State == observed.Unwatched
	})
	for _, want := range []string{"cannot watch ConfigMap", "system:serviceaccount:" + space + ":powerless", "let the agent watch it"} {
		if message := seen.Unknown[configMaps.GroupKind()].Message; !strings.Contains(message, want) {
			t.Errorf("the message %q lacks %q", message, want)
		}
	}
	grant := parse(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: powerless}]`)
	grant.SetName(space)
	subjects := grant.Object["subjects"].([]any)
	subjects[0].(map[string]any)["namespace"] = space
	admin.write(people, "", grant)
	o.await(env, "the kind to be known", func(seen observed.State) bool { return len(seen.Unknown) == 0 })
}

func TestAListThatNeverEndsIsSaidAndTriedAgain(t *testing.T) {
	t.Parallel()
	rights := cluster(t).RESTConfig()
	var stuck atomic.Bool
	stuck.Store(true)
	rights.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if stuck.Load() && strings.Contains(r.URL.Path, "configmaps") {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			}
			return next.RoundTrip(r)
		})
	})
	o := observeAs(t, rights, Config{SyncTimeout: 500 * time.Millisecond})
	env := o.environment(configMaps, claims)
	seen := o.await(env, "the list to be given up", func(seen observed.State) bool {
		return seen.Unknown[configMaps.GroupKind()].State == observed.Unwatched && len(seen.Unknown) == 1
	})
	if message := seen.Unknown[configMaps.GroupKind()].Message; !strings.Contains(message, "in time") {
		t.Errorf("the message %q does not say what timed out", message)
	}
	stuck.Store(false)
	o.await(env, "the list", func(seen observed.State) bool { return len(seen.Unknown) == 0 })
}
