package plan_test

import (
	"testing"
	"time"

	"berth.dev/berth/reconciler/manifest"
)

// TestJobs is the table of the design: what is found, and the result.
func TestJobs(t *testing.T) {
	check(t, []spec{
		{"none: it is created, and gates what comes after", func(w *world) {
			w.git(job("migrate", wave(-1)), deployment("api"))
		}, `
			create Namespace/posts: is not in the cluster yet
			create Job/posts/migrate: is to run
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave -1]
			Going: Namespace/posts: is not in the cluster yet; Job/migrate: is to run; and 1 more`},
		{"same digest, running: the plan waits", func(w *world) {
			w.git(job("migrate", wave(-1)), deployment("api"))
			w.pass()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has not finished (Progressing: 0 of 1 completed)
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave -1]
			Going: Job/migrate: 0 of 1 completed; and 1 more`},
		{"same digest, complete: satisfied", func(w *world) {
			w.git(job("migrate", wave(-1)), deployment("api"))
			w.settle()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			keep Deployment/posts/api
			Settled`},
		{"same digest, complete and gone: satisfied", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.remove("Job/migrate")
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"same digest, complete, and re-created by another client: satisfied", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.remove("Job/migrate")
			w.finish("Job/migrate")
			w.write(w.in.Desired.Objects[0], ours)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"same digest, complete, seen only while it is deleted: satisfied", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.finish("Job/migrate")
			w.remove("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"same digest, failed: the sync fails, with the reason", func(w *world) {
			w.git(job("migrate", wave(-1)), deployment("api"))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded: relation posts does not exist")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate [failed: BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry posts.production.main]
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave -1]
			Failed: Job/migrate (migrate.yaml:1): BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry posts.production.main`},
		{"same digest, failed and gone: the reason is kept", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded: relation posts does not exist")
			w.pass()
			w.remove("Job/migrate")
			w.pass()
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate [failed: BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry posts.production.main]
			Failed: Job/migrate (migrate.yaml:1): BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry posts.production.main`},
		{"same digest, deleted by another client before it finished", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.remove("Job/migrate")
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate [failed: was deleted by another client before it finished; it runs again when it changes in Git, or on: berth retry posts.production.main]
			Failed: Job/migrate (migrate.yaml:1): was deleted by another client before it finished; it runs again when it changes in Git, or on: berth retry posts.production.main`},
		{"the same, while its pods still end", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.remove("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate [failed: was deleted by another client before it finished; it runs again when it changes in Git, or on: berth retry posts.production.main]
			Failed: Job/migrate (migrate.yaml:1): was deleted by another client before it finished; it runs again when it changes in Git, or on: berth retry posts.production.main`},
		{"other digest, finished: the old one is deleted first", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"other digest, being deleted: the plan waits", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
			w.pass()
		}, `
			keep Namespace/posts
			create Job/posts/migrate: is to run [blocked: the previous run is being deleted]
			Waiting: Job/migrate: the previous run is being deleted`},
		{"other digest, gone: the new one is created", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
			w.pass()
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			create Job/posts/migrate: is to run
			Going: Job/migrate: is to run`},
		{"other digest, failed: the new one supersedes it", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.git(job("migrate", runs("app:2")))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"other digest, running: a migration is not killed half way", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.git(job("migrate", runs("app:2")))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed while it runs [blocked: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)]
			Waiting: Job/migrate: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)`},
		{"and no time-out runs meanwhile", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.git(job("migrate", runs("app:2")))
			w.pass()
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed while it runs [blocked: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)]
			Waiting: Job/migrate: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)`},
		{"but it runs for what could go on meanwhile", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.git(job("migrate", runs("app:2")), deployment("api"))
			w.unready(deployment("api"), "the API server is overloaded; it is tried again")
			w.pass()
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed while it runs [blocked: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)]
			create Deployment/posts/api: is not in the cluster yet [blocked: the API server is overloaded; it is tried again]
			Going: Job/migrate: waits for the running Job to finish (berth.dev/job-replace: terminate would end it); Deployment/api: the API server is overloaded; it is tried again`},
		{"other digest, running, terminate: it is", func(w *world) {
			w.git(job("migrate", terminate))
			w.pass()
			w.git(job("migrate", terminate, runs("app:2")))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed while it runs
			Going: Job/migrate: changed while it runs`},
		{"other digest, suspended: nothing of it runs, so it is replaced", func(w *world) {
			w.git(job("migrate", suspended))
			w.pass()
			w.git(job("migrate"))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed while it was suspended
			Going: Job/migrate: changed while it was suspended`},
		{"a suspended Job has not settled", func(w *world) {
			w.git(job("migrate", suspended), deployment("api", wave(1)))
			w.pass()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has not finished (Suspended: suspended)
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave 0]
			Going: Job/migrate: suspended; and 1 more`},
		{"not ours, finished, same program: satisfied, and taken over", func(w *world) {
			taken(w, job("migrate"))
			w.finish("Job/migrate")
			w.git(job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			correct Job/posts/migrate: lacks Berth's marks
			Going: Job/migrate: lacks Berth's marks`},
		{"it does not run when it is ours, either", func(w *world) {
			taken(w, job("migrate"))
			w.finish("Job/migrate")
			w.git(job("migrate"))
			w.settle()
		}, `
			keep Namespace/posts: was there before and is not Berth's
			keep Job/posts/migrate: has run
			Settled`},
		{"but it runs when Git changes something of it, the program or not", func(w *world) {
			taken(w, job("migrate"))
			w.finish("Job/migrate")
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", deadline(60)))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"even if we crashed before it bore our marks", func(w *world) {
			taken(w, job("migrate"))
			w.finish("Job/migrate")
			w.git(job("migrate"))
			w.crash(0)
			w.git(job("migrate", deadline(60)))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"not ours, finished, another program: replaced", func(w *world) {
			taken(w, job("migrate", runs("app:0")))
			w.finish("Job/migrate")
			w.git(job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			replace Job/posts/migrate: was made by another client, and did not do the same work
			Going: Job/migrate: was made by another client, and did not do the same work`},
		{"not ours, running: the plan waits", func(w *world) {
			taken(w, job("migrate", runs("app:0")))
			w.git(job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			replace Job/posts/migrate: was made by another client, and did not do the same work [blocked: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)]
			Waiting: Job/migrate: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)`},
		{"a user removed the marks of a run: it is still the run", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.strip("Job/migrate")
		}, `
			keep Namespace/posts
			correct Job/posts/migrate: lacks Berth's marks
			Going: Job/migrate: lacks Berth's marks`},
		{"another environment's Job stays", func(w *world) {
			taken(w)
			w.write(job("migrate"), theirs)
			w.git(job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			keep Job/posts/migrate [failed: belongs to another environment; two environments cannot share an object: remove it from one of them]
			Failed: Job/migrate (migrate.yaml:1): belongs to another environment; two environments cannot share an object: remove it from one of them`},
	})
}

// taken makes a shared namespace in which another client created objects.
func taken(w *world, objects ...manifest.Object) {
	w.in.Namespace.Shared = true
	w.write(w.in.Namespace.Object, "")
	for _, o := range objects {
		w.write(o, "")
	}
}
