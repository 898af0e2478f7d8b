package plan_test

import (
	"testing"

	"berth.dev/berth/reconciler/manifest"
)

func needs(references string) edit { return annotated(manifest.AnnotationDependsOn, references) }

// TestDependsOn is about objects that wait for individual others.
func TestDependsOn(t *testing.T) {
	check(t, []spec{
		{"an object waits for those that it names, and no other does", func(w *world) {
			w.git(deployment("db"), deployment("api", needs("Deployment/db")), deployment("web"))
			w.pass()
		}, `
			keep Namespace/posts
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Deployment/db, on which it depends]
			keep Deployment/posts/db (Progressing: 0 of 1 ready)
			keep Deployment/posts/web (Progressing: 0 of 1 ready)
			Going: Deployment/db, Deployment/web: 0 of 1 ready; and 1 more`},
		{"and goes when they have settled", func(w *world) {
			w.git(deployment("db"), deployment("api", needs("Deployment/db")))
			w.pass()
			w.finish("Deployment/db")
		}, `
			keep Namespace/posts
			create Deployment/posts/api: is not in the cluster yet
			keep Deployment/posts/db
			Going: Deployment/api: is not in the cluster yet`},
		{"all forms of a reference", func(w *world) {
			w.git(deployment("db"), job("migrate"), configMap("env"), namespace("extra"),
				deployment("api", needs("apps/namespaces/posts/Deployment/db, batch/Job/migrate,/namespaces/posts/ConfigMap/env, /Namespace/extra")))
			w.pass()
			w.finish("Deployment/db")
		}, `
			keep Namespace/posts
			keep Namespace/extra
			keep ConfigMap/posts/env
			keep Job/posts/migrate: has not finished (Progressing: 0 of 1 completed)
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate, on which it depends]
			keep Deployment/posts/db
			Going: Job/migrate: 0 of 1 completed; and 1 more`},
		{"a chain says who waits for whom", func(w *world) {
			w.git(deployment("db"), deployment("api", needs("Deployment/db")), deployment("web", needs("Deployment/api")))
			w.pass()
		}, `
			keep Namespace/posts
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Deployment/db, on which it depends]
			keep Deployment/posts/db (Progressing: 0 of 1 ready)
			create Deployment/posts/web: is not in the cluster yet [blocked: waits for Deployment/api, on which it depends]
			Going: Deployment/db: 0 of 1 ready; and 2 more`},
		{"even what others need may wait", func(w *world) {
			w.git(configMap("env", needs("Job/setup")), job("setup"))
			w.pass()
		}, `
			keep Namespace/posts
			create ConfigMap/posts/env: is not in the cluster yet [blocked: waits for Job/setup, on which it depends]
			keep Job/posts/setup: has not finished (Progressing: 0 of 1 completed)
			Going: Job/setup: 0 of 1 completed; and 1 more`},
		{"a correction waits for nothing", func(w *world) {
			w.git(deployment("db"), deployment("api", needs("Deployment/db")))
			w.settle()
			w.fails("Deployment/db", "container db: CrashLoopBackOff")
			w.disturb("Deployment/api")
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was changed by another client
			keep Deployment/posts/db (Failed: container db: CrashLoopBackOff)
			Degraded: Deployment/db: container db: CrashLoopBackOff`},
		{"a cycle names its files", func(w *world) {
			w.git(deployment("api", needs("Deployment/db")), deployment("db", needs("Deployment/api")))
		}, `
			create Namespace/posts: is not in the cluster yet
			keep Deployment/posts/api [failed: depends on itself: Deployment/api (api.yaml:1) needs Deployment/db (db.yaml:1) needs Deployment/api (api.yaml:1); remove one of these from config.kubernetes.io/depends-on]
			keep Deployment/posts/db [failed: depends on itself: Deployment/db (db.yaml:1) needs Deployment/api (api.yaml:1) needs Deployment/db (db.yaml:1); remove one of these from config.kubernetes.io/depends-on]
			Failed: Deployment/api: depends on itself: Deployment/api (api.yaml:1) needs Deployment/db (db.yaml:1) needs Deployment/api (api.yaml:1); remove one of these from config.kubernetes.io/depends-on; Deployment/db: depends on itself: Deployment/db (db.yaml:1) needs Deployment/api (api.yaml:1) needs Deployment/db (db.yaml:1); remove one of these from config.kubernetes.io/depends-on`},
		{"what is not in Git", func(w *world) {
			w.git(deployment("api", needs("apps/namespaces/other/Deployment/db")), deployment("db"))
		}, `
			create Namespace/posts: is not in the cluster yet
			keep Deployment/posts/api [failed: depends on apps/namespaces/other/Deployment/db, which is not in Git; correct config.kubernetes.io/depends-on, or add it]
			create Deployment/posts/db: is not in the cluster yet
			Failed: Deployment/api (api.yaml:1): depends on apps/namespaces/other/Deployment/db, which is not in Git; correct config.kubernetes.io/depends-on, or add it`},
		{"what is no reference", func(w *world) {
			w.git(deployment("api", needs("db")))
		}, `
			create Namespace/posts: is not in the cluster yet
			keep Deployment/posts/api [failed: has the annotation config.kubernetes.io/depends-on with "db", which is neither group/namespaces/namespace/Kind/name nor group/Kind/name nor Kind/name]
			Failed: Deployment/api (api.yaml:1): has the annotation config.kubernetes.io/depends-on with "db", which is neither group/namespaces/namespace/Kind/name nor group/Kind/name nor Kind/name`},
		{"what two kinds may be", func(w *world) {
			w.git(deployment("api", needs("Widget/one")), object("example.com/v1", "Widget", "one"), object("other.example.com/v1", "Widget", "one"))
		}, `
			create Namespace/posts: is not in the cluster yet
			keep Deployment/posts/api [failed: depends on Widget/one, which may be Widget.example.com or Widget.other.example.com; write the group and the namespace too]
			create Widget/posts/one: was not seen in the cluster [failed: the cluster does not know the kind Widget of example.com/v1; is its CRD installed, and the version right?]
			create Widget/posts/one: is not in the cluster yet
			Failed: Deployment/api (api.yaml:1): depends on Widget/one, which may be Widget.example.com or Widget.other.example.com; write the group and the namespace too; Widget/one (one.yaml:1): the cluster does not know the kind Widget of example.com/v1; is its CRD installed, and the version right?`},
		{"a commit that moves what others depend on is refused for that", func(w *world) {
			w.git(deployment("api", needs("Deployment/db")), deployment("db"))
			w.settle()
			w.git(deployment("api", needs("Deployment/db")), deployment("db", wave(1)))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api [failed: depends on Deployment/db (db.yaml:1), which comes in the later wave 1; give it an earlier wave, or this one a later]
			change Deployment/posts/db: differs from Git [blocked: waits for Deployment/api in wave 0]
			Failed: Deployment/api (api.yaml:1): depends on Deployment/db (db.yaml:1), which comes in the later wave 1; give it an earlier wave, or this one a later`},
		{"what comes in a later wave, even by a detour", func(w *world) {
			w.git(deployment("api", needs("ConfigMap/env")), configMap("env", needs("Deployment/late")), deployment("late", wave(2)))
		}, `
			create Namespace/posts: is not in the cluster yet
			create ConfigMap/posts/env: is not in the cluster yet [blocked: waits for Deployment/late, on which it depends]
			keep Deployment/posts/api [failed: depends on Deployment/late (late.yaml:1), which comes in the later wave 2; give it an earlier wave, or this one a later]
			create Deployment/posts/late: is not in the cluster yet [blocked: waits for Deployment/api in wave 0]
			Failed: Deployment/api (api.yaml:1): depends on Deployment/late (late.yaml:1), which comes in the later wave 2; give it an earlier wave, or this one a later`},
	})
}
