package plan_test

import (
	"testing"

	"pgregory.net/rapid"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// TestRemoval is about the order in which objects that left Git are deleted.
func TestRemoval(t *testing.T) {
	check(t, []spec{
		{"what serves the cluster goes first, workloads next, and what they need when they are gone", func(w *world) {
			left(w, configMap("old"), deployment("old"), object("v1", "ServiceAccount", "old"), webhook("old"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ValidatingWebhookConfiguration/old: is no longer in Git
			delete Deployment/posts/old: is no longer in Git [blocked: waits until ValidatingWebhookConfiguration/old is gone]
			delete ConfigMap/posts/old: is no longer in Git [blocked: waits until ValidatingWebhookConfiguration/old is gone]
			delete ServiceAccount/posts/old: is no longer in Git [blocked: waits until ValidatingWebhookConfiguration/old is gone]
			Going: ValidatingWebhookConfiguration/old: is no longer in Git; and 3 more`},
		{"pods that still end have their settings and rights", func(w *world) {
			left(w, configMap("old"), deployment("old"), object("v1", "ServiceAccount", "old"))
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/old: is no longer in Git [blocked: is being deleted]
			delete ConfigMap/posts/old: is no longer in Git [blocked: waits until Deployment/old is gone]
			delete ServiceAccount/posts/old: is no longer in Git [blocked: waits until Deployment/old is gone]
			Going: Deployment/old: is being deleted; and 2 more`},
		{"then those go, all at once", func(w *world) {
			left(w, configMap("old"), deployment("old"), object("v1", "ServiceAccount", "old"))
			w.pass()
			w.finish("Deployment/old")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ConfigMap/posts/old: is no longer in Git
			delete ServiceAccount/posts/old: is no longer in Git
			Going: ConfigMap/old, ServiceAccount/old: is no longer in Git`},
		{"a later wave is deleted before an earlier one, which waits", func(w *world) {
			left(w, deployment("db", wave(-1)), deployment("web", wave(2)), configMap("late", wave(1)))
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/web: is no longer in Git [blocked: is being deleted]
			delete ConfigMap/posts/late: is no longer in Git [blocked: waits until Deployment/web is gone, in wave 2]
			delete Deployment/posts/db: is no longer in Git [blocked: waits until Deployment/web is gone, in wave 2]
			Going: Deployment/web: is being deleted; and 2 more`},
		{"what depends on others goes before them, whatever the order of their kinds", func(w *world) {
			left(w, deployment("operator"), widgets(annotated(manifest.AnnotationPrune, "allow")), widget("one", needs("apps/Deployment/operator")), job("seed", needs("Deployment/operator")))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Widget/posts/one: is no longer in Git
			delete Deployment/posts/operator: is no longer in Git [blocked: waits until Job/seed is gone, which depends on it]
			delete Job/posts/seed: is no longer in Git
			delete CustomResourceDefinition/widgets.example.com: is no longer in Git [blocked: waits until Widget/one is gone]
			Going: Widget/one, Job/seed: is no longer in Git; and 2 more`},
		{"what others need may itself have needed something", func(w *world) {
			left(w, object("v1", "Service", "old", needs("Deployment/old")), deployment("old"), deployment("first", wave(-1)), configMap("old"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/old: is no longer in Git [blocked: waits until Service/old is gone, which depends on it]
			delete Service/posts/old: is no longer in Git
			delete Deployment/posts/first: is no longer in Git [blocked: waits until Deployment/old is gone, in wave 0]
			delete ConfigMap/posts/old: is no longer in Git [blocked: waits until Deployment/old is gone]
			Going: Service/old: is no longer in Git; and 3 more`},
		{"a dependency that contradicts a wave decides: both were never together in one commit", func(w *world) {
			left(w, deployment("db"), deployment("web"))
			order(w, "Deployment/db", observed.Order{Wave: "3"})
			order(w, "Deployment/web", observed.Order{Wave: "1", DependsOn: "Deployment/db"})
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/db: is no longer in Git [blocked: waits until Deployment/web is gone, which depends on it]
			delete Deployment/posts/web: is no longer in Git
			Going: Deployment/web: is no longer in Git; and 1 more`},
		{"a circle is cut", func(w *world) {
			left(w, deployment("a"), deployment("b"), deployment("c"))
			order(w, "Deployment/a", observed.Order{DependsOn: "Deployment/b"})
			order(w, "Deployment/b", observed.Order{DependsOn: "Deployment/c"})
			order(w, "Deployment/c", observed.Order{DependsOn: "Deployment/a, Deployment/c"})
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/a: is no longer in Git
			delete Deployment/posts/b: is no longer in Git [blocked: waits until Deployment/a is gone, which depends on it]
			delete Deployment/posts/c: is no longer in Git [blocked: waits until Deployment/b is gone, which depends on it]
			Going: Deployment/a: is no longer in Git; and 2 more`},
		{"what cannot be read says nothing", func(w *world) {
			left(w, deployment("a"), deployment("b"))
			order(w, "Deployment/a", observed.Order{Wave: "soon", DependsOn: "everything, Deployment/gone,"})
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/a: is no longer in Git
			delete Deployment/posts/b: is no longer in Git
			Going: Deployment/a, Deployment/b: is no longer in Git`},
		{"deletions do not wait for a kept object", func(w *world) {
			left(w, deployment("web", needs("Deployment/db"), wave(1), annotated(manifest.AnnotationPrune, "never")), deployment("db"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep Deployment/posts/web: is no longer in Git, and kept: berth.dev/prune: never
			delete Deployment/posts/db: is no longer in Git
			Going: Deployment/db: is no longer in Git`},
		{"a deletion that is refused keeps what has to go later", func(w *world) {
			left(w, deployment("web", wave(1)), deployment("db"))
			w.refuse(deployment("web"), "admission webhook says no; ask who runs it")
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/web: is no longer in Git [blocked: admission webhook says no; ask who runs it]
			delete Deployment/posts/db: is no longer in Git [blocked: waits until Deployment/web is gone, in wave 1]
			Settled`},
		{"a running Job is finished before what it needs goes", func(w *world) {
			w.git(deployment("api"), job("migrate"), configMap("env"))
			w.pass()
			w.finish("Deployment/api")
			w.git(deployment("api"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Job/posts/migrate: is no longer in Git [blocked: waits for the running Job to finish]
			delete ConfigMap/posts/env: is no longer in Git [blocked: waits until Job/migrate is gone]
			Waiting: Job/migrate: waits for the running Job to finish`},
	})
}

// order gives an object of the cluster other annotations, as another commit would have left them.
func order(w *world, short string, o observed.Order) {
	w.change(short, func(l *observed.Object) { l.Order = o })
}

// TestRemovalEnds checks that one object can always be deleted next, until all are gone. This holds whatever the
// objects say about each other.
func TestRemovalEnds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		names := []string{"a", "b", "c", "d", "e", "f"}
		objects := []manifest.Object{deployment("api")}
		for _, name := range names {
			objects = append(objects, configMap(name), deployment(name))
		}
		w.git(objects...)
		w.settle()
		reference := rapid.SampledFrom([]string{"", "Deployment/a", "Deployment/b", "ConfigMap/c", "ConfigMap/d", "Deployment/e, ConfigMap/a", "ConfigMap/f, Deployment/c"})
		for _, o := range objects[1:] {
			order(w, o.Key().Short(), observed.Order{
				Wave:      rapid.SampledFrom([]string{"", "", "-1", "1", "x"}).Draw(rt, "wave"),
				DependsOn: reference.Draw(rt, "depends on"),
			})
		}
		w.git(deployment("api"))
		w.settle()
		w.confirms()
		w.settle()
		if p := w.plan(); len(p.Steps) != 2 || p.State != plan.Settled {
			rt.Fatalf("something is left:\n%s", p)
		}
	})
}
