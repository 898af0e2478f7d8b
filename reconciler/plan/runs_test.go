package plan_test

import (
	"testing"
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// TestRuns is about when a Job runs again, and how long it may stay.
func TestRuns(t *testing.T) {
	check(t, []spec{
		{"a Job does not run again because another manifest changed", func(w *world) {
			w.git(job("migrate"), deployment("api"))
			w.settle()
			w.git(job("migrate"), deployment("api", version(2)))
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			change Deployment/posts/api: differs from Git
			Going: Deployment/api: differs from Git`},
		{"every-commit: it runs with every commit", func(w *world) {
			w.git(job("seed", everyCommit))
			w.settle()
			w.git(job("seed", everyCommit))
		}, `
			keep Namespace/posts
			replace Job/posts/seed: changed since it ran
			Going: Job/seed: changed since it ran`},
		{"every-commit: with one commit only once", func(w *world) {
			w.git(job("seed", everyCommit))
			w.settle()
			w.remove("Job/seed")
			w.finish("Job/seed")
		}, `
			keep Namespace/posts
			keep Job/posts/seed: has run
			Settled`},
		{"once: another content does not make it run again", func(w *world) {
			w.git(job("seed", once))
			w.settle()
			w.git(job("seed", once, runs("app:2")))
		}, `
			keep Namespace/posts
			keep Job/posts/seed: has run once, and does not run again
			Settled`},
		{"once: nor does one that came while it ran", func(w *world) {
			w.git(job("seed", once))
			w.pass()
			w.git(job("seed", once, runs("app:2")))
			w.pass()
			w.finish("Job/seed")
		}, `
			keep Namespace/posts
			keep Job/posts/seed: has run once, and does not run again
			Settled`},
		{"once: a run that failed does not count", func(w *world) {
			w.git(job("seed", once))
			w.pass()
			w.fails("Job/seed", "BackoffLimitExceeded")
			w.pass()
			w.git(job("seed", once, runs("app:2")))
		}, `
			keep Namespace/posts
			replace Job/posts/seed: changed since it ran
			Going: Job/seed: changed since it ran`},
		{"retry: a failed Job runs again", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.in.Retry = true
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: runs again, because a user asked for it
			Going: Job/migrate: runs again, because a user asked for it`},
		{"retry: one that was deleted, too", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.remove("Job/migrate")
			w.finish("Job/migrate")
			w.pass()
			w.in.Retry = true
		}, `
			keep Namespace/posts
			create Job/posts/migrate: is to run
			Going: Job/migrate: is to run`},
		{"retry: one that has run does not", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.in.Retry = true
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"retry: asked for behind a gate, it is not forgotten", func(w *world) {
			w.git(deployment("db", wave(-1)), job("migrate"))
			w.settle()
			w.git(deployment("db", wave(-1)), job("migrate", runs("app:2")))
			w.pass()
			w.finish("Job/migrate")
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.becomes("Deployment/db", health.Progressing, "0 of 1 ready")
			w.in.Retry = true
			w.pass()
			w.finish("Deployment/db")
		}, `
			keep Namespace/posts
			keep Deployment/posts/db
			replace Job/posts/migrate: runs again, because a user asked for it
			Going: Job/migrate: runs again, because a user asked for it`},
		{"time to live: the outcome is recorded before the Job goes", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.pass()
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"time to live: then it goes, and the environment is settled all the same", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.pass()
			w.finish("Job/migrate")
			w.pass()
		}, `
			keep Namespace/posts
			delete Job/posts/migrate: finished more than 0 seconds ago (ttlSecondsAfterFinished)
			Settled`},
		{"time to live: it has not passed", func(w *world) {
			w.git(job("migrate", ttl(60)))
			w.settle()
			w.after(50 * time.Second)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"time to live: once it is gone it does not run again", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.settle()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"time to live: one without our marks gets them first", func(w *world) {
			w.git(job("migrate", ttl(60)))
			w.settle()
			w.strip("Job/migrate")
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			correct Job/posts/migrate: lacks Berth's marks
			Settled`},
		{"time to live: a failed Job goes too, when its log can have been read, and the sync stays failed", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.after(10 * time.Second)
		}, `
			keep Namespace/posts
			delete Job/posts/migrate: finished more than 0 seconds ago (ttlSecondsAfterFinished) [failed: BackoffLimitExceeded; it runs again when it changes in Git, or on: berth retry posts.production.main]
			Failed: Job/migrate (migrate.yaml:1): BackoffLimitExceeded; it runs again when it changes in Git, or on: berth retry posts.production.main`},
		{"time to live: a failed Job stays until then", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.after(9 * time.Second)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate [failed: BackoffLimitExceeded; it runs again when it changes in Git, or on: berth retry posts.production.main]
			Failed: Job/migrate (migrate.yaml:1): BackoffLimitExceeded; it runs again when it changes in Git, or on: berth retry posts.production.main`},
		{"time to live: what is left of a failed Job is its outcome", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.after(time.Minute)
			w.pass()
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate [failed: BackoffLimitExceeded; it runs again when it changes in Git, or on: berth retry posts.production.main]
			Failed: Job/migrate (migrate.yaml:1): BackoffLimitExceeded; it runs again when it changes in Git, or on: berth retry posts.production.main`},
		{"time to live: a failed Job that is gone runs again on a retry", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.after(time.Minute)
			w.pass()
			w.finish("Job/migrate")
			w.in.Retry = true
		}, `
			keep Namespace/posts
			create Job/posts/migrate: is to run
			Going: Job/migrate: is to run`},
		{"time to live: it holds for one that runs only once, whatever Git says of it since", func(w *world) {
			w.git(job("seed", once, ttl(60)))
			w.settle()
			w.git(job("seed", once, ttl(60), runs("app:2")))
			w.pass()
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			delete Job/posts/seed: finished more than 60 seconds ago (ttlSecondsAfterFinished)
			Settled`},
		{"time to live: that the API server keeps the Job fails nothing", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.pass()
			w.finish("Job/migrate")
			w.pass()
			w.refuse(job("migrate"), "a webhook says no; ask who runs it")
			w.pass()
			w.git(job("migrate", ttl(0)), configMap("env"))
		}, `
			keep Namespace/posts
			create ConfigMap/posts/env: is not in the cluster yet
			delete Job/posts/migrate: finished more than 0 seconds ago (ttlSecondsAfterFinished) [blocked: a webhook says no; ask who runs it]
			Going: ConfigMap/env: is not in the cluster yet`},
		{"time to live: while suspended it stays, and is settled", func(w *world) {
			w.git(job("migrate", ttl(60)))
			w.settle()
			w.in.Suspended = true
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			delete Job/posts/migrate: finished more than 60 seconds ago (ttlSecondsAfterFinished) [blocked: the environment is suspended; to go on: berth resume posts.production.main]
			Settled`},
		{"a crash between intention and creation: it is created", func(w *world) {
			w.git(job("migrate"))
			w.crash(1)
		}, `
			correct Namespace/posts: has no record of what was applied
			create Job/posts/migrate: is to run
			Going: Namespace/posts: has no record of what was applied; Job/migrate: is to run`},
		{"a crash right after the creation: it is known by its digest", func(w *world) {
			w.git(job("migrate"))
			w.crash(2)
		}, `
			correct Namespace/posts: has no record of what was applied
			keep Job/posts/migrate: has not finished (Progressing: 0 of 1 completed)
			Going: Namespace/posts: has no record of what was applied; Job/migrate: 0 of 1 completed`},
		{"a crash between deletion and creation: it is created", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
			w.crash(1)
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			create Job/posts/migrate: is to run
			Going: Job/migrate: is to run`},
		{"Git returns before a changed Job came through its gate: the old run still counts", func(w *world) {
			w.git(deployment("db", wave(-1)), job("migrate"))
			w.settle()
			w.git(deployment("db", wave(-1), version(2)), job("migrate", runs("app:2")))
			w.pass()
			w.git(deployment("db", wave(-1)), job("migrate"))
		}, `
			keep Namespace/posts
			change Deployment/posts/db: differs from Git
			keep Job/posts/migrate: has run
			Going: Deployment/db: differs from Git`},
		{"the same, when the old run is long gone", func(w *world) {
			w.git(deployment("db", wave(-1)), job("migrate", ttl(0)))
			w.settle()
			w.git(deployment("db", wave(-1), version(2)), job("migrate", ttl(0), runs("app:2")))
			w.pass()
			w.pass()
			w.git(deployment("db", wave(-1)), job("migrate", ttl(0)))
		}, `
			keep Namespace/posts
			change Deployment/posts/db: differs from Git
			keep Job/posts/migrate: has run
			Going: Deployment/db: differs from Git`},
		{"Git returns while the old run is on its way out: it still counts", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
			w.pass()
			w.git(job("migrate"))
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"Git returns to what ran before the last run: that is a change, and it runs again", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
			w.settle()
			w.git(job("migrate"))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"once for the return, and no more", func(w *world) {
			for _, program := range []string{"app:1", "app:2", "app:1"} {
				w.git(job("migrate", runs(program)))
				w.settle()
			}
			if n := w.created[w.in.Desired.Objects[0].Digest]; n != 2 {
				w.t.Fatalf("it ran %d times, want twice", n)
			}
			w.remove("Job/migrate")
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"Git returns while the newer run is still running: the older runs again after it", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
			w.pass()
			w.finish("Job/migrate")
			w.pass()
			w.git(job("migrate"))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed while it runs [blocked: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)]
			Waiting: Job/migrate: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)`},
		{"Git returns after the newer run failed: the older runs again, because the newer may have left anything", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
			w.pass()
			w.finish("Job/migrate")
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.git(job("migrate"))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"a namespace that a user deleted took with it what the Job did there: it runs again", func(w *world) {
			w.git(job("migrate", wave(-1)), deployment("api"))
			w.settle()
			w.remove("Namespace/posts")
			w.finish("Namespace/posts")
		}, `
			create Namespace/posts: is not in the cluster yet
			create Job/posts/migrate: is to run
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave -1]
			Going: Namespace/posts: is not in the cluster yet; Job/migrate: is to run; and 1 more`},
		{"so it runs once more, and no oftener", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.remove("Namespace/posts")
			w.settle()
			if n := w.created[w.in.Desired.Objects[0].Digest]; n != 2 {
				w.t.Fatalf("it ran %d times, want twice", n)
			}
			w.remove("Job/migrate")
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"once: not even then", func(w *world) {
			w.git(job("seed", once))
			w.settle()
			w.remove("Namespace/posts")
			w.settle()
		}, `
			keep Namespace/posts
			keep Job/posts/seed: has run once, and does not run again
			Settled`},
		{"a namespace that was never ours takes no run with it", func(w *world) {
			taken(w)
			w.git(job("migrate"))
			w.settle()
			w.unseen(namespace("").GroupVersionKind().GroupKind(), observed.Unwatched, "namespaces is forbidden")
		}, `
			create Namespace/posts: was not seen in the cluster [blocked: cannot be seen by the agent: namespaces is forbidden]
			keep Job/posts/migrate: has run
			Degraded: Namespace/posts: cannot be seen by the agent: namespaces is forbidden`},
		{"a rollback is no return: what ran before is not run again", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
			w.settle()
			w.git(job("migrate"))
			w.in.Past = true
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: does not run again for an earlier commit
			Settled`},
		{"a rollback keeps the Jobs of the newer commit, and deletes its other objects", func(w *world) {
			w.git(deployment("api"))
			w.settle()
			w.git(deployment("api"), job("migrate"), configMap("new"))
			w.settle()
			w.git(deployment("api"))
			w.in.Past = true
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep Job/posts/migrate: is a run of a newer commit, and is kept in case that commit is retried
			delete ConfigMap/posts/new: is no longer in Git
			Going: ConfigMap/new: is no longer in Git`},
		{"a Job that left Git and comes back runs again", func(w *world) {
			w.git(job("migrate"), deployment("api"))
			w.settle()
			w.git(deployment("api"))
			w.settle()
			w.git(job("migrate"), deployment("api"))
		}, `
			keep Namespace/posts
			create Job/posts/migrate: is to run
			keep Deployment/posts/api
			Going: Job/migrate: is to run`},
		{"but not if it was not deleted yet", func(w *world) {
			w.git(job("migrate"), deployment("api"))
			w.settle()
			w.git(deployment("api"))
			w.plan()
			w.git(job("migrate"), deployment("api"))
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			keep Deployment/posts/api
			Settled`},
		{"without a record a finished Job is known by its digest", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.in.Record = plan.Record{}
		}, `
			correct Namespace/posts: has no record of what was applied
			keep Job/posts/migrate: has run
			Going: Namespace/posts: has no record of what was applied`},
	})
}
