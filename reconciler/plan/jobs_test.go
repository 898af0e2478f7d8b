package plan_test

import (
	"testing"
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// TestJobs is the table of the design: what is found, and what happens.
func TestJobs(t *testing.T) {
	check(t, []spec{
		{"none: it is created, and gates what comes after", func(w *world) {
			w.git(job("migrate", wave(-1)), deployment("api"))
		}, `
			create Namespace/posts: is not in the cluster yet
			create Job/posts/migrate: is to run
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave -1: is to run]
			Going: Namespace/posts: is not in the cluster yet; Job/migrate: is to run; and 1 more`},
		{"same digest, running: it is waited for", func(w *world) {
			w.git(job("migrate", wave(-1)), deployment("api"))
			w.pass()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has not finished (Progressing: 0 of 1 completed)
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave -1: 0 of 1 completed]
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
		{"same digest, complete, and made once more by somebody: satisfied", func(w *world) {
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
			keep Job/posts/migrate [failed: BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry]
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave -1: BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry]
			Failed: Job/migrate (migrate.yaml:1): BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry`},
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
			keep Job/posts/migrate [failed: BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry]
			Failed: Job/migrate (migrate.yaml:1): BackoffLimitExceeded: relation posts does not exist; it runs again when it changes in Git, or on: berth retry`},
		{"same digest, deleted by somebody before it finished", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.remove("Job/migrate")
			w.finish("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate [failed: was deleted by somebody else before it finished; it runs again when it changes in Git, or on: berth retry]
			Failed: Job/migrate (migrate.yaml:1): was deleted by somebody else before it finished; it runs again when it changes in Git, or on: berth retry`},
		{"the same, while its pods still end", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.remove("Job/migrate")
		}, `
			keep Namespace/posts
			keep Job/posts/migrate [failed: was deleted by somebody else before it finished; it runs again when it changes in Git, or on: berth retry]
			Failed: Job/migrate (migrate.yaml:1): was deleted by somebody else before it finished; it runs again when it changes in Git, or on: berth retry`},
		{"other digest, finished: the old one is deleted first", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", runs("app:2")))
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"other digest, on its way out: it is waited for", func(w *world) {
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
		{"and no time-out runs while it is waited for", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.git(job("migrate", runs("app:2")))
			w.pass()
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed while it runs [blocked: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)]
			Waiting: Job/migrate: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)`},
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
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave 0: suspended]
			Going: Job/migrate: suspended; and 1 more`},
		{"not ours, finished, same program: satisfied, and taken over", func(w *world) {
			taken(w, job("migrate"))
			w.finish("Job/migrate")
			w.git(job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			correct Job/posts/migrate: does not bear Berth's marks
			Going: Job/migrate: does not bear Berth's marks`},
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
		{"not ours, finished, another program: replaced", func(w *world) {
			taken(w, job("migrate", runs("app:0")))
			w.finish("Job/migrate")
			w.git(job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			replace Job/posts/migrate: was made by somebody else, and did not do the same work
			Going: Job/migrate: was made by somebody else, and did not do the same work`},
		{"not ours, running: it is waited for", func(w *world) {
			taken(w, job("migrate", runs("app:0")))
			w.git(job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			replace Job/posts/migrate: was made by somebody else, and did not do the same work [blocked: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)]
			Waiting: Job/migrate: waits for the running Job to finish (berth.dev/job-replace: terminate would end it)`},
		{"somebody took the marks from a run: it is still the run", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.strip("Job/migrate")
		}, `
			keep Namespace/posts
			correct Job/posts/migrate: does not bear Berth's marks
			Going: Job/migrate: does not bear Berth's marks`},
		{"another environment's Job stays", func(w *world) {
			taken(w)
			w.write(job("migrate"), theirs)
			w.git(job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			keep Job/posts/migrate [failed: belongs to another environment; two environments cannot share an object: take it out of one of them]
			Failed: Job/migrate (migrate.yaml:1): belongs to another environment; two environments cannot share an object: take it out of one of them`},
	})
}

// taken is a shared namespace in which somebody else made objects.
func taken(w *world, objects ...manifest.Object) {
	w.in.Namespace.Shared = true
	w.write(w.in.Namespace.Object, "")
	for _, o := range objects {
		w.write(o, "")
	}
}

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
			keep Job/posts/seed: has run once, and is to run no more
			Settled`},
		{"once: nor does one that came while it ran", func(w *world) {
			w.git(job("seed", once))
			w.pass()
			w.git(job("seed", once, runs("app:2")))
			w.pass()
			w.finish("Job/seed")
		}, `
			keep Namespace/posts
			keep Job/posts/seed: has run once, and is to run no more
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
			replace Job/posts/migrate: is to run again, as somebody asked
			Going: Job/migrate: is to run again, as somebody asked`},
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
			replace Job/posts/migrate: is to run again, as somebody asked
			Going: Job/migrate: is to run again, as somebody asked`},
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
			correct Job/posts/migrate: does not bear Berth's marks
			Settled`},
		{"time to live: while suspended it stays, and is settled", func(w *world) {
			w.git(job("migrate", ttl(60)))
			w.settle()
			w.in.Suspended = true
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			delete Job/posts/migrate: finished more than 60 seconds ago (ttlSecondsAfterFinished) [blocked: the environment is suspended; to go on: berth resume]
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
