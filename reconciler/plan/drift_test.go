package plan_test

import (
	"testing"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// TestChanges is about changes in Git, and about the owners of objects.
func TestChanges(t *testing.T) {
	check(t, []spec{
		{"what differs from Git is changed, the rest is kept", func(w *world) {
			w.git(configMap("env"), configMap("other"))
			w.settle()
			w.git(configMap("env", version(2)), configMap("other"))
		}, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git
			keep ConfigMap/posts/other
			Going: ConfigMap/env: differs from Git`},
		{"what is new in Git is created", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.git(configMap("env"), configMap("other"))
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			create ConfigMap/posts/other: is not in the cluster yet
			Going: ConfigMap/other: is not in the cluster yet`},
		{"an object of another client is adopted", func(w *world) {
			w.in.Namespace.Shared = true
			w.write(w.in.Namespace.Object, "")
			w.write(deployment("api"), "")
			w.git(deployment("api"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			change Deployment/posts/api: was made by another client and is adopted
			Going: Deployment/api: was made by another client and is adopted`},
		{"what belongs to another environment is not touched", func(w *world) {
			w.in.Namespace.Shared = true
			w.write(w.in.Namespace.Object, "")
			w.write(configMap("env"), theirs)
			w.git(configMap("env"), configMap("mine"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			keep ConfigMap/posts/env [failed: belongs to another environment; two environments cannot share an object: remove it from one of them]
			create ConfigMap/posts/mine: is not in the cluster yet
			Failed: ConfigMap/env (env.yaml:1): belongs to another environment; two environments cannot share an object: remove it from one of them`},
		{"unless it is on its way out", func(w *world) {
			w.write(deployment("api"), theirs)
			w.hold("Deployment/api", "foregroundDeletion")
			w.git(deployment("api"))
		}, `
			create Namespace/posts: is not in the cluster yet
			create Deployment/posts/api: has to be re-created [blocked: is being deleted; held by foregroundDeletion]
			Going: Namespace/posts: is not in the cluster yet; Deployment/api: is being deleted; held by foregroundDeletion`},
		{"what is being deleted is not written to", func(w *world) {
			w.git(deployment("api"))
			w.settle()
			w.git(deployment("api", version(2)))
			w.remove("Deployment/api")
		}, `
			keep Namespace/posts
			create Deployment/posts/api: has to be re-created [blocked: is being deleted]
			Waiting: Deployment/api: is being deleted`},
	})
}

// TestDrift is about other clients' changes of our objects.
func TestDrift(t *testing.T) {
	check(t, []spec{
		{"a change by another client is corrected", func(w *world) {
			w.git(deployment("api"), configMap("env"))
			w.settle()
			w.disturb("Deployment/api")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			correct Deployment/posts/api: was changed by another client
			Settled`},
		{"an object that another client deleted is re-created", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.remove("ConfigMap/env")
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was deleted by another client
			Settled`},
		{"an object that another client deleted and re-created is corrected", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.strip("ConfigMap/env")
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client
			Settled`},
		{"without a record everything is applied once more", func(w *world) {
			w.git(deployment("api"), configMap("env"))
			w.settle()
			w.in.Record = plan.Record{}
		}, `
			correct Namespace/posts: has no record of what was applied
			correct ConfigMap/posts/env: has no record of what was applied
			correct Deployment/posts/api: has no record of what was applied
			Going: Namespace/posts, ConfigMap/env, Deployment/api: has no record of what was applied`},
		{"and then nothing", func(w *world) {
			w.git(deployment("api"), configMap("env"))
			w.settle()
			w.in.Record = plan.Record{}
			w.settle()
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api
			Settled`},
		{"the digest of Git proves nothing for fields that Berth does not own", func(w *world) {
			w.git(configMap("env"), configMap("other"))
			w.settle()
			w.in.Record.Applied = map[manifest.Key]plan.Applied{}
			w.change("ConfigMap/env", func(o *observed.Object) { o.Ownership = "" })
			w.change("ConfigMap/other", func(o *observed.Object) { o.Ownership = "another" })
		}, `
			correct Namespace/posts: has no record of what was applied
			correct ConfigMap/posts/env: has no record of what was applied
			correct ConfigMap/posts/other: has no record of what was applied
			Settled`},
		{"Git may leave to others what they change", func(w *world) {
			w.git(configMap("env", annotated(manifest.AnnotationDrift, "ignore")), configMap("other", annotated("client.lifecycle.config.k8s.io/mutation", "ignore")))
			w.settle()
			w.disturb("ConfigMap/env")
			w.disturb("ConfigMap/other")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env: was changed by another client, which Git allows
			keep ConfigMap/posts/other: was changed by another client, which Git allows
			Settled`},
		{"even if the record is that of an earlier content with the same fields", func(w *world) {
			w.git(configMap("env", annotated(manifest.AnnotationDrift, "ignore")))
			w.settle()
			key := w.in.Desired.Objects[0].Key()
			w.in.Record.Applied[key] = plan.Applied{Digest: "1:earlier", Ownership: w.in.Record.Applied[key].Ownership}
			w.pass()
			w.disturb("ConfigMap/env")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env: was changed by another client, which Git allows
			Settled`},
		{"but not what they delete, nor what Git changes", func(w *world) {
			w.git(configMap("env", annotated(manifest.AnnotationDrift, "ignore")), configMap("other", annotated(manifest.AnnotationDrift, "ignore")))
			w.settle()
			w.remove("ConfigMap/env")
			w.disturb("ConfigMap/other")
			w.git(configMap("env", annotated(manifest.AnnotationDrift, "ignore")), configMap("other", annotated(manifest.AnnotationDrift, "ignore"), version(2)))
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was deleted by another client
			change ConfigMap/posts/other: differs from Git
			Going: ConfigMap/env: was deleted by another client; ConfigMap/other: differs from Git`},
		{"a failing rollout does not keep another object from being corrected", func(w *world) {
			w.git(deployment("api"), configMap("env"), deployment("web", wave(1)))
			w.settle()
			w.git(deployment("api", version(2)), configMap("env"), deployment("web", wave(1)))
			w.pass()
			w.fails("Deployment/api", "container api: ErrImagePull")
			w.disturb("ConfigMap/env")
			w.disturb("Deployment/web")
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client
			keep Deployment/posts/api (Failed: container api: ErrImagePull)
			correct Deployment/posts/web: was changed by another client
			Failed: Deployment/api: container api: ErrImagePull`},
		{"nor does an illness of later", func(w *world) {
			w.git(deployment("api"), configMap("env"))
			w.settle()
			w.fails("Deployment/api", "container api: CrashLoopBackOff")
			w.disturb("ConfigMap/env")
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client
			keep Deployment/posts/api (Failed: container api: CrashLoopBackOff)
			Degraded: Deployment/api: container api: CrashLoopBackOff`},
		{"suspend alone pauses it", func(w *world) {
			w.git(configMap("env"), configMap("other"))
			w.settle()
			w.disturb("ConfigMap/env")
			w.in.Suspended = true
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client [blocked: the environment is suspended; to go on: berth resume posts.production.main]
			keep ConfigMap/posts/other
			Waiting: ConfigMap/env: the environment is suspended; to go on: berth resume posts.production.main`},
		{"a suspended environment takes nothing new", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.in.Suspended = true
			w.git(configMap("env", version(2)), job("migrate"))
		}, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git [blocked: the environment is suspended; to go on: berth resume posts.production.main]
			create Job/posts/migrate: is to run [blocked: the environment is suspended; to go on: berth resume posts.production.main]
			Waiting: ConfigMap/env, Job/migrate: the environment is suspended; to go on: berth resume posts.production.main`},
		{"a suspended environment without drift is settled", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.in.Suspended = true
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			Settled`},
		{"a workload that scales is no illness", func(w *world) {
			w.git(deployment("api"))
			w.settle()
			w.becomes("Deployment/api", health.Progressing, "2 of 3 ready")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api (Progressing: 2 of 3 ready)
			Settled`},
	})
}

// TestKeyedDigests is about entries that add or remove a kind in decryption.kinds.
func TestKeyedDigests(t *testing.T) {
	restarting := func() manifest.Object {
		named := []any{map[string]any{"name": "main", "envFrom": []any{map[string]any{"configMapRef": map[string]any{"name": "env"}}}}}
		return deployment("api", annotated(manifest.AnnotationRestartOnChange, "true"), field(named, "spec", "template", "spec", "containers"))
	}
	git := func(w *world, edits ...edit) {
		w.git(configMap("env", edits...), configMap("free", annotated(manifest.AnnotationDrift, "ignore")), job("migrate"), job("seed", everyCommit), restarting())
	}
	const settled = `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep ConfigMap/posts/free
			keep Job/posts/migrate: has run
			keep Job/posts/seed: has run
			keep Deployment/posts/api
			Settled`
	kinds := []string{"ConfigMap", "Job", "Deployment"}
	check(t, []spec{
		{"nothing is written, run or restarted because they are keyed from now on", func(w *world) {
			git(w)
			w.settle()
			w.decrypting(kinds...)
			w.settle()
		}, settled},
		{"nor because they no longer are", func(w *world) {
			git(w)
			w.decrypting(kinds...)
			w.settle()
			w.decrypting()
		}, settled},
		{"nor because some of them are", func(w *world) {
			git(w)
			w.settle()
			w.decrypting("ConfigMap")
		}, settled},
		{"nor after the record was lost, but that everything is applied once", func(w *world) {
			git(w)
			w.settle()
			w.in.Record = plan.Record{}
			w.decrypting(kinds...)
		}, `
			correct Namespace/posts: has no record of what was applied
			correct ConfigMap/posts/env: has no record of what was applied
			correct ConfigMap/posts/free: has no record of what was applied
			keep Job/posts/migrate: has run
			keep Job/posts/seed: has run
			correct Deployment/posts/api: has no record of what was applied
			Going: Namespace/posts, ConfigMap/env, ConfigMap/free: has no record of what was applied; and 1 more`},
		{"what changes is changed, and what is restarted for it", func(w *world) {
			git(w)
			w.settle()
			commit := w.in.Commit
			git(w, version(2))
			w.in.Commit = commit
			w.decrypting(kinds...)
		}, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git
			keep ConfigMap/posts/free
			keep Job/posts/migrate: has run
			keep Job/posts/seed: has run
			change Deployment/posts/api: differs from Git
			Going: ConfigMap/env, Deployment/api: differs from Git`},
	})
}
