package plan_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

var configMaps = schema.GroupKind{Kind: "ConfigMap"}

// TestOrder is about the order of steps and what they wait for.
func TestOrder(t *testing.T) {
	check(t, []spec{
		{"a first sync makes the namespace and what others need, and then the rest, all in one pass", func(w *world) {
			w.git(deployment("api"), configMap("env"), object("v1", "Secret", "env"), object("v1", "Service", "api"))
		}, `
			create Namespace/posts: is not in the cluster yet
			create ConfigMap/posts/env: is not in the cluster yet
			create Secret/posts/env: is not in the cluster yet
			create Service/posts/api: is not in the cluster yet
			create Deployment/posts/api: is not in the cluster yet
			Going: Namespace/posts, ConfigMap/env, Secret/env: is not in the cluster yet; and 2 more`},
		{"what is undisturbed costs nothing", func(w *world) {
			w.git(deployment("api"), configMap("env"))
			w.settle()
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api
			Settled`},
		{"what others need waits for no gate, not even beside a wave that has not settled", func(w *world) {
			w.git(deployment("db", wave(-1)), deployment("api"), configMap("env"))
			w.pass()
			w.git(deployment("db", wave(-1)), deployment("api"), configMap("env"), configMap("more"))
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			create ConfigMap/posts/more: is not in the cluster yet
			keep Deployment/posts/db (Progressing: 0 of 1 ready)
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Deployment/db in wave -1]
			Going: ConfigMap/more: is not in the cluster yet; Deployment/db: 0 of 1 ready; and 1 more`},
		{"a wave waits until the one before has settled, and says what for", func(w *world) {
			w.git(deployment("db", wave(1)), deployment("api", wave(2)), deployment("web", wave(3)))
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/db (Progressing: 0 of 1 ready)
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Deployment/db in wave 1]
			create Deployment/posts/web: is not in the cluster yet [blocked: waits for Deployment/db in wave 1]
			Going: Deployment/db: 0 of 1 ready; and 2 more`},
		{"the next wave goes when the one before is healthy", func(w *world) {
			w.git(deployment("db", wave(1)), deployment("api", wave(2)))
			w.pass()
			w.finish("Deployment/db")
		}, `
			keep Namespace/posts
			keep Deployment/posts/db
			create Deployment/posts/api: is not in the cluster yet
			Going: Deployment/api: is not in the cluster yet`},
		{"a wave behind one that failed stays away", func(w *world) {
			w.git(deployment("db", wave(1)), deployment("api", wave(2)))
			w.pass()
			w.fails("Deployment/db", "container db: CrashLoopBackOff: exit code 1")
		}, `
			keep Namespace/posts
			keep Deployment/posts/db (Failed: container db: CrashLoopBackOff: exit code 1)
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Deployment/db in wave 1]
			Failed: Deployment/db: container db: CrashLoopBackOff: exit code 1`},
		{"an explicit wave holds whatever the kind", func(w *world) {
			w.git(configMap("late", wave(1)), deployment("api"))
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			create ConfigMap/posts/late: is not in the cluster yet [blocked: waits for Deployment/api in wave 0]
			Going: Deployment/api: 0 of 1 ready; and 1 more`},
		{"a namespace among the manifests goes with the environment's own, unless it has a wave", func(w *world) {
			w.git(namespace("jobs"), namespace("later", wave(1)), deployment("api"), configMap("env", within("jobs")))
			w.pass()
		}, `
			keep Namespace/posts
			keep Namespace/jobs
			keep ConfigMap/jobs/env
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			create Namespace/later: is not in the cluster yet [blocked: waits for Deployment/api in wave 0]
			Going: Deployment/api: 0 of 1 ready; and 1 more`},
		{"a wave that is no number is an error that names the file", func(w *world) {
			w.git(deployment("api", annotated(manifest.AnnotationWave, "first")))
		}, `
			create Namespace/posts: is not in the cluster yet
			keep Deployment/posts/api [failed: api.yaml:1: Deployment/posts/api has the annotation berth.dev/wave: "first", which is not an integer]
			Failed: api.yaml:1: Deployment/posts/api has the annotation berth.dev/wave: "first", which is not an integer`},
		{"admission webhooks come after all waves", func(w *world) {
			w.git(webhook("guard"), deployment("api"), deployment("web", wave(1)))
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			create Deployment/posts/web: is not in the cluster yet [blocked: waits for Deployment/api in wave 0]
			create ValidatingWebhookConfiguration/guard: is not in the cluster yet [blocked: waits for Deployment/api in wave 0]
			Going: Deployment/api: 0 of 1 ready; and 2 more`},
		{"admission webhooks come when everything has settled", func(w *world) {
			w.git(webhook("guard"), deployment("api"))
			w.pass()
			w.finish("Deployment/api")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			create ValidatingWebhookConfiguration/guard: is not in the cluster yet
			Going: ValidatingWebhookConfiguration/guard: is not in the cluster yet`},
		{"the objects of a kind that the set brings wait for its definition", func(w *world) {
			w.git(widgets(), widget("one"), deployment("api"))
			w.pass()
		}, `
			keep Namespace/posts
			keep CustomResourceDefinition/widgets.example.com (Progressing: not established)
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			create Widget/posts/one: was not seen in the cluster [blocked: its CustomResourceDefinition is not established yet]
			Going: CustomResourceDefinition/widgets.example.com: not established; Deployment/api: 0 of 1 ready; Widget/one: its CustomResourceDefinition is not established yet`},
		{"they go when the definition is established", func(w *world) {
			w.git(widgets(), widget("one"))
			w.pass()
			w.finish("CustomResourceDefinition/widgets.example.com")
		}, `
			keep Namespace/posts
			keep CustomResourceDefinition/widgets.example.com
			create Widget/posts/one: is not in the cluster yet
			Going: Widget/one: is not in the cluster yet`},
		{"an unknown kind is an error; the rest of a first sync goes on", func(w *world) {
			w.git(widget("one"), configMap("env"))
		}, `
			create Namespace/posts: is not in the cluster yet
			create ConfigMap/posts/env: is not in the cluster yet
			create Widget/posts/one: was not seen in the cluster [failed: the cluster does not know the kind Widget of example.com/v1; is its CRD installed, and the version right?]
			Failed: Widget/one (one.yaml:1): the cluster does not know the kind Widget of example.com/v1; is its CRD installed, and the version right?`},
		{"a kind whose watch has not delivered everything is neither there nor absent", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.unseen(configMaps, observed.Syncing, "its watch has not begun yet")
		}, `
			create Namespace/posts: is not in the cluster yet
			create ConfigMap/posts/env: was not seen in the cluster [blocked: cannot be seen by the agent: its watch has not begun yet]
			create Deployment/posts/api: is not in the cluster yet
			Going: Namespace/posts: is not in the cluster yet; ConfigMap/env: cannot be seen by the agent: its watch has not begun yet; Deployment/api: is not in the cluster yet`},
		{"a kind that cannot be watched degrades only its objects", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.settle()
			w.unseen(configMaps, observed.Unwatched, "configmaps is forbidden")
		}, `
			keep Namespace/posts
			create ConfigMap/posts/env: was not seen in the cluster [blocked: cannot be seen by the agent: configmaps is forbidden]
			keep Deployment/posts/api
			Degraded: ConfigMap/env: cannot be seen by the agent: configmaps is forbidden`},
		{"a workload that a user paused has settled", func(w *world) {
			w.git(deployment("api"), deployment("web", wave(1)))
			w.pass()
			w.becomes("Deployment/api", health.Suspended, "paused")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api (Suspended: paused)
			create Deployment/posts/web: is not in the cluster yet
			Going: Deployment/web: is not in the cluster yet`},
	})
}

// TestNamespace is about the environment's own namespace.
func TestNamespace(t *testing.T) {
	shared := func(w *world) { w.in.Namespace.Shared = true }
	put := func(w *world, environment string) { w.write(w.in.Namespace.Object, environment) }
	check(t, []spec{
		{"a missing namespace is created, a shared one too", func(w *world) {
			shared(w)
			w.git(configMap("env"))
		}, `
			create Namespace/posts: is not in the cluster yet
			create ConfigMap/posts/env: is not in the cluster yet
			Going: Namespace/posts, ConfigMap/env: is not in the cluster yet`},
		{"a shared namespace without an owner is used as it is", func(w *world) {
			shared(w)
			put(w, "")
			w.git(configMap("env"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			create ConfigMap/posts/env: is not in the cluster yet
			Going: ConfigMap/env: is not in the cluster yet`},
		{"an entry with a pattern takes over no namespace", func(w *world) {
			put(w, "")
			w.git(configMap("env"))
		}, `
			keep Namespace/posts [failed: was there before and is not Berth's; an entry with a pattern uses only namespaces that Berth made: delete it, or change the entry's namespace]
			create ConfigMap/posts/env: is not in the cluster yet [blocked: Namespace/posts: was there before and is not Berth's; an entry with a pattern uses only namespaces that Berth made: delete it, or change the entry's namespace]
			Failed: Namespace/posts (the environment): was there before and is not Berth's; an entry with a pattern uses only namespaces that Berth made: delete it, or change the entry's namespace`},
		{"the namespace of another environment is not touched, shared or not", func(w *world) {
			shared(w)
			put(w, theirs)
			w.git(configMap("env"))
		}, `
			keep Namespace/posts [failed: belongs to another environment; choose another namespace for one of the two. Entries that name their branches can share a namespace that Berth did not create]
			create ConfigMap/posts/env: is not in the cluster yet [blocked: Namespace/posts: belongs to another environment; choose another namespace for one of the two. Entries that name their branches can share a namespace that Berth did not create]
			Failed: Namespace/posts (the environment): belongs to another environment; choose another namespace for one of the two. Entries that name their branches can share a namespace that Berth did not create`},
		{"the sync waits for a namespace that is being deleted", func(w *world) {
			put(w, theirs)
			w.hold("Namespace/posts", "kubernetes")
			w.git(configMap("env"))
		}, `
			create Namespace/posts: has to be re-created [blocked: is being deleted; held by kubernetes]
			create ConfigMap/posts/env: is not in the cluster yet [blocked: Namespace/posts: is being deleted; held by kubernetes]
			Waiting: Namespace/posts: is being deleted; held by kubernetes`},
		{"a namespace deleted by hand takes all with it, and the sync waits", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.settle()
			w.remove("Namespace/posts")
		}, `
			create Namespace/posts: has to be re-created [blocked: is being deleted]
			keep ConfigMap/posts/env
			keep Deployment/posts/api
			Degraded: Namespace/posts: is being deleted`},
		{"and is made again when it is gone, with all that was in it", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.settle()
			w.remove("Namespace/posts")
			w.finish("Namespace/posts")
		}, `
			create Namespace/posts: is not in the cluster yet
			create ConfigMap/posts/env: is not in the cluster yet
			create Deployment/posts/api: is not in the cluster yet
			Going: Namespace/posts, ConfigMap/env, Deployment/api: is not in the cluster yet`},
		{"its labels are Git's business: they change", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.in.Namespace.Object = manifest.Namespace("posts", map[string]string{"team": "posts"}, nil)
		}, `
			change Namespace/posts: differs from Git
			keep ConfigMap/posts/env
			Settled`},
		{"and are corrected when a user changes them", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.disturb("Namespace/posts")
		}, `
			correct Namespace/posts: was changed by another client
			keep ConfigMap/posts/env
			Settled`},
		{"a namespace of ours without its label is still ours", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.change("Namespace/posts", func(l *observed.Object) { l.Environment, l.Ownership = "", "other fields" })
		}, `
			correct Namespace/posts: was changed by another client
			keep ConfigMap/posts/env
			Settled`},
		{"one that another client re-created is not", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.strip("Namespace/posts")
		}, `
			keep Namespace/posts [failed: was there before and is not Berth's; an entry with a pattern uses only namespaces that Berth made: delete it, or change the entry's namespace]
			keep ConfigMap/posts/env
			Degraded: Namespace/posts (the environment): was there before and is not Berth's; an entry with a pattern uses only namespaces that Berth made: delete it, or change the entry's namespace`},
		{"namespaces that cannot be watched are neither there nor absent", func(w *world) {
			w.git(configMap("env"))
			w.unseen(schema.GroupKind{Kind: "Namespace"}, observed.Unwatched, "namespaces is forbidden")
		}, `
			create Namespace/posts: was not seen in the cluster [blocked: cannot be seen by the agent: namespaces is forbidden]
			create ConfigMap/posts/env: is not in the cluster yet [blocked: Namespace/posts: cannot be seen by the agent: namespaces is forbidden]
			Going: Namespace/posts: cannot be seen by the agent: namespaces is forbidden; and 1 more`},
	})
}

// A step that timed out is retried after everything else.
func TestWhatWasNotAnsweredIsLate(t *testing.T) {
	w := newWorld(t)
	w.git(configMap("env"), deployment("api"))
	first := w.plan().Steps[1]
	w.in.Refusals[first.Key] = plan.Refusal{Digest: first.Content(), Message: "no answer", Unanswered: true, Until: noon.Add(time.Second)}
	if s := w.plan().Steps[1]; s.Late || s.Acts() {
		t.Errorf("it is not yet time, and the step is %s", s)
	}
	w.after(time.Second)
	for _, s := range w.plan().Ready() {
		if s.Late != (s.Key == first.Key) {
			t.Errorf("late: %t for %s", s.Late, s)
		}
	}
}
