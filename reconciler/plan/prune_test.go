package plan_test

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// TestPrune is about objects that leave Git.
func TestPrune(t *testing.T) {
	keep, allow := annotated(manifest.AnnotationPrune, "never"), annotated(manifest.AnnotationPrune, "allow")
	check(t, []spec{
		{"what left Git is deleted, once everything has settled", func(w *world) {
			left(w, configMap("old"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ConfigMap/posts/old: is no longer in Git
			Going: ConfigMap/old: is no longer in Git`},
		{"not what an environment left behind in the namespace that it had before", func(w *world) {
			left(w, configMap("old"))
			w.in.Namespace.Object, w.in.Within = namespace("moved", cluster), "moved"
			w.in.Namespace.Object.Digest = "1:moved"
			w.git(configMap("new", within("moved")))
		}, `
			create Namespace/moved: is not in the cluster yet
			create ConfigMap/moved/new: is not in the cluster yet
			Going: Namespace/moved, ConfigMap/new: is not in the cluster yet`},
		{"not where Git could not be read as a whole", func(w *world) {
			left(w, configMap("old"))
			w.in.Incomplete = true
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep ConfigMap/posts/old: may be in Git, but some objects of Git cannot be fetched now
			Settled`},
		{"not before: a failed rollout keeps what the old version needs", func(w *world) {
			w.git(deployment("api"), configMap("old"))
			w.settle()
			w.git(deployment("api", version(2)), configMap("new"))
			w.pass()
			w.fails("Deployment/api", "container api: ErrImagePull")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/new
			keep Deployment/posts/api (Failed: container api: ErrImagePull)
			delete ConfigMap/posts/old: is no longer in Git [blocked: waits for Deployment/api: container api: ErrImagePull]
			Failed: Deployment/api: container api: ErrImagePull`},
		{"while a rollout goes on, that is what the sync waits for", func(w *world) {
			w.git(deployment("api"), configMap("old"))
			w.settle()
			w.git(deployment("api", version(2)), configMap("new"))
			w.pass()
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/new
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			delete ConfigMap/posts/old: is no longer in Git [blocked: waits for Deployment/api: 0 of 1 ready]
			Going: Deployment/api: 0 of 1 ready; and 1 more`},
		{"the prune waits for objects that are being deleted", func(w *world) {
			left(w, deployment("old"))
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/old: is no longer in Git [blocked: is being deleted]
			Going: Deployment/old: is being deleted`},
		{"what takes its pods along is on its way too", func(w *world) {
			left(w, deployment("old"))
			w.pass()
			w.hold("Deployment/old", "foregroundDeletion")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/old: is no longer in Git [blocked: is being deleted; held by foregroundDeletion]
			Going: Deployment/old: is being deleted; held by foregroundDeletion`},
		{"a finalizer of another controller is up to it", func(w *world) {
			left(w, deployment("old"))
			w.pass()
			w.hold("Deployment/old", "example.com/backup")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/old: is no longer in Git [blocked: is being deleted; held by example.com/backup]
			Settled`},
		{"what takes longer to end than a rollout may fails nothing", func(w *world) {
			left(w, deployment("old"))
			w.pass()
			w.hold("Deployment/old", "foregroundDeletion")
			w.pass()
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/old: is no longer in Git [blocked: is being deleted; held by foregroundDeletion]
			Settled`},
		{"and then there is nothing left to do", func(w *world) {
			left(w, deployment("old"), configMap("old"))
			w.settle()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			Settled`},
		{"never: it stays, in whatever words Git said it", func(w *world) {
			left(w, configMap("a", keep), configMap("b", annotated("helm.sh/resource-policy", "keep")),
				configMap("c", annotated("client.lifecycle.config.k8s.io/deletion", "detach")))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep ConfigMap/posts/a: is no longer in Git, and kept: berth.dev/prune: never
			keep ConfigMap/posts/b: is no longer in Git, and kept: berth.dev/prune: never
			keep ConfigMap/posts/c: is no longer in Git, and kept: berth.dev/prune: never
			Settled`},
		{"what bears data stays, unless Git allowed it", func(w *world) {
			left(w, pvc("data"), pvc("cache", allow), namespace("extra"), widgets())
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep CustomResourceDefinition/widgets.example.com: is no longer in Git, and kept: its kind keeps data; delete it by hand, or set berth.dev/prune: allow in Git before it leaves
			keep Namespace/extra: is no longer in Git, and kept: its kind keeps data; delete it by hand, or set berth.dev/prune: allow in Git before it leaves
			keep PersistentVolumeClaim/posts/data: is no longer in Git, and kept: its kind keeps data; delete it by hand, or set berth.dev/prune: allow in Git before it leaves
			delete PersistentVolumeClaim/posts/cache: is no longer in Git
			Going: PersistentVolumeClaim/cache: is no longer in Git`},
		{"what has a controller is its business", func(w *world) {
			left(w, configMap("copy"))
			w.change("ConfigMap/copy", func(l *observed.Object) { l.Controlled = true })
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			Settled`},
		{"what only bears our label was not applied by us", func(w *world) {
			left(w, configMap("copy"))
			w.change("ConfigMap/copy", func(l *observed.Object) { l.Ownership, l.Digest = "", "" })
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			Settled`},
		{"what bears another environment's label is never deleted", func(w *world) {
			left(w, configMap("theirs"))
			w.change("ConfigMap/theirs", func(l *observed.Object) { l.Environment = theirs })
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			Settled`},
		{"the prune waits for a running Job", func(w *world) {
			w.git(deployment("api"), job("migrate"))
			w.pass()
			w.finish("Deployment/api")
			w.git(deployment("api"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Job/posts/migrate: is no longer in Git [blocked: waits for the running Job to finish]
			Waiting: Job/migrate: waits for the running Job to finish`},
		{"a finished Job is pruned, and a suspended one", func(w *world) {
			w.git(deployment("api"), job("migrate"), job("later", suspended))
			w.pass()
			w.finish("Deployment/api")
			w.finish("Job/migrate")
			w.git(deployment("api"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Job/posts/later: is no longer in Git
			delete Job/posts/migrate: is no longer in Git
			Going: Job/later, Job/migrate: is no longer in Git`},
		{"a kind that cannot be watched stops all deletions", func(w *world) {
			left(w, configMap("old"))
			w.unseen(deployment("").GroupVersionKind().GroupKind(), observed.Unwatched, "deployments is forbidden")
		}, `
			keep Namespace/posts
			create Deployment/posts/api: was not seen in the cluster [blocked: cannot be seen by the agent: deployments is forbidden]
			delete ConfigMap/posts/old: is no longer in Git [blocked: waits for Deployment/api: cannot be seen by the agent: deployments is forbidden]
			Going: Deployment/api: cannot be seen by the agent: deployments is forbidden; and 1 more`},
		{"what cannot be seen is not deleted, even if it once was seen", func(w *world) {
			left(w, configMap("old"))
			w.unseen(configMaps, observed.Unwatched, "configmaps is forbidden")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep ConfigMap/posts/old: is no longer in Git, and may still exist [blocked: cannot be seen by the agent: configmaps is forbidden]
			Waiting: ConfigMap/old: cannot be seen by the agent: configmaps is forbidden`},
		{"nor skipped where the record does not name it, and it keeps nothing else", func(w *world) {
			left(w, configMap("old"), job("migrate"))
			w.unseen(configMaps, observed.Unwatched, "configmaps is forbidden")
			clear(w.in.Record.Applied)
		}, `
			correct Namespace/posts: has no record of what was applied
			correct Deployment/posts/api: has no record of what was applied
			keep ConfigMap/*: is no longer in Git, and may still exist [blocked: cannot be seen by the agent: configmaps is forbidden]
			delete Job/posts/migrate: is no longer in Git [blocked: waits for Namespace/posts: has no record of what was applied]
			Going: Namespace/posts, Deployment/api: has no record of what was applied; ConfigMap/*: cannot be seen by the agent: configmaps is forbidden; and 1 more`},
		{"a run that cannot be seen is not forgotten, either", func(w *world) {
			left(w, configMap("old"), job("migrate"))
			w.unseen(job("").GroupVersionKind().GroupKind(), observed.Unwatched, "jobs is forbidden")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep Job/posts/migrate: is no longer in Git, and may still exist [blocked: cannot be seen by the agent: jobs is forbidden]
			delete ConfigMap/posts/old: is no longer in Git
			Going: Job/migrate: cannot be seen by the agent: jobs is forbidden; ConfigMap/old: is no longer in Git`},
		{"what the cluster does not serve any more is gone", func(w *world) {
			left(w, configMap("old"))
			w.unseen(configMaps, observed.NotServed, "no such kind")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			Settled`},
		{"a deletion that the API server refused does not fail what Git says", func(w *world) {
			left(w, configMap("old"))
			w.refuse(configMap("old"), "admission webhook says no; ask who runs it")
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ConfigMap/posts/old: is no longer in Git [blocked: admission webhook says no; ask who runs it]
			Settled`},
		{"it is tried again later", func(w *world) {
			left(w, configMap("old"))
			w.refuse(configMap("old"), "admission webhook says no; ask who runs it")
			w.pass()
			w.after(time.Minute)
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ConfigMap/posts/old: is no longer in Git
			Settled`},
		{"and the next commit does not wait for it", func(w *world) {
			left(w, configMap("old"))
			w.refuse(configMap("old"), "admission webhook says no; ask who runs it")
			w.pass()
			w.git(deployment("api", version(2)))
			w.pass()
			w.finish("Deployment/api")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ConfigMap/posts/old: is no longer in Git [blocked: admission webhook says no; ask who runs it]
			Settled`},
		{"nor does another deletion", func(w *world) {
			left(w, configMap("a"), configMap("b"))
			w.refuse(configMap("a"), "admission webhook says no; ask who runs it")
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ConfigMap/posts/a: is no longer in Git [blocked: admission webhook says no; ask who runs it]
			Settled`},
		{"suspend keeps it", func(w *world) {
			left(w, configMap("old"))
			w.in.Suspended = true
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ConfigMap/posts/old: is no longer in Git [blocked: the environment is suspended; to go on: berth resume posts.production.main]
			Waiting: ConfigMap/old: the environment is suspended; to go on: berth resume posts.production.main`},
		{"what returned to Git is not deleted", func(w *world) {
			left(w, configMap("old"))
			w.git(deployment("api"), configMap("old"))
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/old
			keep Deployment/posts/api
			Settled`},
	})
}

// An obstacle to a deletion is a warning for users.
func TestObstaclesWarn(t *testing.T) {
	w := newWorld(t)
	left(w, configMap("old"))
	w.refuse(configMap("old"), "ConfigMap/posts/old: admission webhook says no; ask who runs it")
	w.pass()
	want := []string{"cannot delete ConfigMap/old, which is no longer in Git: admission webhook says no; ask who runs it"}
	p := w.plan()
	if !slices.Equal(p.Warnings, want) || p.State != plan.Settled {
		t.Errorf("the warnings are %q, want %q, of\n%s", p.Warnings, want, p)
	}
}

// TestTeardown is about the deletion of an environment.
func TestTeardown(t *testing.T) {
	for _, s := range []spec{
		{"a namespace that Berth made goes with all that is in it", func(w *world) {
			w.git(deployment("api"), pvc("data"), object("rbac.authorization.k8s.io/v1", "ClusterRole", "api"))
			w.settle()
		}, `
			delete Namespace/posts: the environment is torn down
			delete ClusterRole/api: the environment is torn down [blocked: waits until Namespace/posts is gone]
			Going: 2 to delete: Namespace/posts: the environment is torn down; and 1 more`},
		{"what runs outside goes before it, and what those within may need until they end goes after it", func(w *world) {
			elsewhere := func(u *unstructured.Unstructured) { u.SetNamespace("shared") }
			w.write(namespace("shared"), theirs)
			w.git(deployment("api"), deployment("agent", elsewhere), configMap("settings", elsewhere), object("rbac.authorization.k8s.io/v1", "ClusterRole", "api"))
			w.settle()
			p := w.teardown()
			for _, s := range p.Ready() {
				w.carryOut(s)
			}
			w.finish("Deployment/agent")
		}, `
			delete Namespace/posts: the environment is torn down
			delete ConfigMap/shared/settings: the environment is torn down [blocked: waits until Namespace/posts is gone]
			delete ClusterRole/api: the environment is torn down [blocked: waits until Namespace/posts is gone]
			Going: 3 to delete: Namespace/posts: the environment is torn down; and 2 more`},
		{"what works on the cluster from within goes before it", func(w *world) {
			w.git(deployment("api"), webhook("api"), widgets(annotated(manifest.AnnotationPrune, "allow")), widget("one", cluster))
			w.settle()
		}, `
			delete ValidatingWebhookConfiguration/api: the environment is torn down
			delete Widget/one: the environment is torn down [blocked: waits until ValidatingWebhookConfiguration/api is gone]
			delete Namespace/posts: the environment is torn down [blocked: waits until ValidatingWebhookConfiguration/api is gone]
			delete CustomResourceDefinition/widgets.example.com: the environment is torn down [blocked: waits until ValidatingWebhookConfiguration/api is gone]
			Going: 4 to delete: ValidatingWebhookConfiguration/api: the environment is torn down; and 3 more`},
		{"a shared one stays: the objects go one by one, in reverse order, and data stays", func(w *world) {
			taken(w, configMap("not-ours"))
			w.write(configMap("theirs"), theirs)
			w.git(deployment("api"), pvc("data"), configMap("env"), configMap("kept", annotated(manifest.AnnotationPrune, "never")), job("migrate"))
			w.settle()
		}, `
			delete Deployment/posts/api: the environment is torn down
			delete Job/posts/migrate: the environment is torn down
			delete ConfigMap/posts/env: the environment is torn down [blocked: waits until Deployment/api is gone]
			Going: 3 to delete: Deployment/api, Job/migrate: the environment is torn down; and 1 more`},
		{"in the order of waves and dependencies, too", func(w *world) {
			taken(w)
			w.git(deployment("db", wave(-1)), deployment("api"), deployment("web", needs("Deployment/api")))
			w.settle()
		}, `
			delete Deployment/posts/api: the environment is torn down [blocked: waits until Deployment/web is gone, which depends on it]
			delete Deployment/posts/web: the environment is torn down
			delete Deployment/posts/db: the environment is torn down [blocked: waits until Deployment/api is gone, in wave 0]
			Going: 3 to delete: Deployment/web: the environment is torn down; and 2 more`},
		{"data goes where Git allowed it", func(w *world) {
			taken(w)
			w.git(pvc("data", annotated(manifest.AnnotationPrune, "allow")), namespace("extra", annotated(manifest.AnnotationPrune, "allow")))
			w.settle()
		}, `
			delete PersistentVolumeClaim/posts/data: the environment is torn down
			delete Namespace/extra: the environment is torn down
			Going: 2 to delete: PersistentVolumeClaim/data, Namespace/extra: the environment is torn down`},
		{"what finalizers hold is named", func(w *world) {
			w.git(deployment("api"))
			w.settle()
			w.hold("Namespace/posts", "example.com/backup")
		}, `
			delete Namespace/posts: the environment is torn down [blocked: is being deleted; held by example.com/backup]
			Waiting: Namespace/posts: is being deleted; held by example.com/backup`},
		{"what keeps its namespace from going is named, too", func(w *world) {
			w.git(deployment("api"), configMap("env"))
			w.settle()
			w.hold("Namespace/posts", "kubernetes")
			w.hold("Deployment/api", "example.com/backup")
		}, `
			delete Namespace/posts: the environment is torn down [blocked: is being deleted; held by kubernetes]
			keep Deployment/posts/api: is deleted with its namespace [blocked: is being deleted; held by example.com/backup]
			Waiting: Namespace/posts: is being deleted; held by kubernetes; Deployment/api: is being deleted; held by example.com/backup`},
		{"what is stuck keeps what it may need", func(w *world) {
			taken(w)
			w.git(deployment("api"), configMap("env"))
			w.settle()
			w.hold("Deployment/api", "example.com/backup")
		}, `
			delete Deployment/posts/api: the environment is torn down [blocked: is being deleted; held by example.com/backup]
			delete ConfigMap/posts/env: the environment is torn down [blocked: waits until Deployment/api is gone]
			Waiting: Deployment/api: is being deleted; held by example.com/backup; and 1 more`},
		{"what was refused is tried again later", func(w *world) {
			taken(w)
			w.git(configMap("env"))
			w.settle()
			live, _ := w.find("ConfigMap/env")
			w.in.Refusals[live.Key] = plan.Refusal{Digest: plan.Step{Action: plan.Delete, Live: &live}.Content(), Message: "the webhook does not answer", Until: noon.Add(1e12)}
		}, `
			delete ConfigMap/posts/env: the environment is torn down [blocked: the webhook does not answer]
			Waiting: ConfigMap/env: the webhook does not answer`},
		{"a kind that cannot be seen is not said to be gone", func(w *world) {
			w.unseen(configMaps, observed.Unwatched, "configmaps is forbidden")
			w.unseen(deployment("").GroupVersionKind().GroupKind(), observed.Syncing, "its watch has not begun yet")
		}, `
			keep ConfigMap/*: may still exist [blocked: cannot be seen by the agent: configmaps is forbidden]
			keep Deployment/*: may still exist [blocked: cannot be seen by the agent: its watch has not begun yet]
			Waiting: ConfigMap/*: cannot be seen by the agent: configmaps is forbidden; Deployment/*: cannot be seen by the agent: its watch has not begun yet`},
		{"another environment's namespace is none of ours", func(w *world) {
			w.write(w.in.Namespace.Object, theirs)
		}, `
			Settled`},
		{"nothing left is the end", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.remove("Namespace/posts")
			w.finish("Namespace/posts")
		}, `
			Settled`},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t)
			s.story(w)
			if got, want := w.teardown().String(), lines(s.want); got != want {
				t.Errorf("the plan is\n%s\n\nand should be\n%s", got, want)
			}
		})
	}
}

// TestUnhealthyLeftovers is about unhealthy objects that left Git: they must not fail the sync.
func TestUnhealthyLeftovers(t *testing.T) {
	check(t, []spec{
		{"what left Git may be ill: it goes", func(w *world) {
			w.git(deployment("api"), deployment("old"))
			w.pass()
			w.finish("Deployment/api")
			w.becomes("Deployment/old", health.Failed, "container old: CrashLoopBackOff")
			w.git(deployment("api"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/old: is no longer in Git
			Going: Deployment/old: is no longer in Git`},
	})
}
