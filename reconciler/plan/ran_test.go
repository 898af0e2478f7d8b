package plan_test

import (
	"fmt"
	"testing"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// pin has a user pin what is in Git now. unpin has the environment follow its branch again.
func (w *world) pin()   { w.in.Pinned = true }
func (w *world) unpin() { w.in.Pinned = false }

// TestReturns is about changes to an earlier commit and back: no Job runs twice.
func TestReturns(t *testing.T) {
	first, second := job("migrate"), job("migrate", runs("app:2"))
	check(t, []spec{
		{"a pin runs no Job again that ran with this content", func(w *world) {
			w.history(first, second)
			w.git(first)
			w.pin()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run before with this content, and runs again only for a new commit
			Settled`},
		{"nor does the return to the branch", func(w *world) {
			w.history(first, second)
			w.git(first)
			w.pin()
			w.settle()
			w.git(second)
			w.unpin()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"nor the return after a pin that ran a Job of its own", func(w *world) {
			w.history(first, second)
			w.git(job("migrate", runs("app:0")))
			w.pin()
			w.settle()
			w.git(second)
			w.unpin()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run before with this content, and runs again only for a new commit
			Settled`},
		{"nor the return to a Job that the pinned commit does not have", func(w *world) {
			w.history(first)
			w.git(deployment("api"))
			w.pin()
			w.settle()
			w.git(first)
			w.unpin()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run before with this content, and runs again only for a new commit
			delete Deployment/posts/api: is no longer in Git
			Going: Deployment/api: is no longer in Git`},
		{"a pin runs a Job that never ran here", func(w *world) {
			w.history(second)
			w.git(first)
			w.pin()
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"and one that failed here", func(w *world) {
			w.git(first)
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.git(second)
			w.settle()
			w.git(first)
			w.pin()
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"a push after the pin is new: its revert runs the Job again", func(w *world) {
			w.history(first, second)
			w.git(first)
			w.pin()
			w.settle()
			w.git(first, configMap("note"))
			w.unpin()
		}, `
			keep Namespace/posts
			create ConfigMap/posts/note: is not in the cluster yet
			replace Job/posts/migrate: changed since it ran
			Going: ConfigMap/note: is not in the cluster yet; Job/migrate: changed since it ran`},
		{"so is a revert without any pin", func(w *world) {
			w.history(first, second)
			w.git(first)
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"and a revert of it, long after a pin of the same input", func(w *world) {
			w.history(first, second)
			w.pin()
			w.settle()
			w.unpin()
			w.settle()
			w.git(first)
			w.settle()
			w.git(second)
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
		{"every-commit: the run of that commit counts", func(w *world) {
			w.history(job("seed", everyCommit))
			before := w.in.Commit
			w.git(job("seed", everyCommit), configMap("note"))
			w.settle()
			w.git(job("seed", everyCommit))
			w.in.Commit = before
			w.pin()
		}, `
			keep Namespace/posts
			keep Job/posts/seed: has run before with this content, and runs again only for a new commit
			delete ConfigMap/posts/note: is no longer in Git
			Going: ConfigMap/note: is no longer in Git`},
		{"the sync waits for a Job of another commit that still runs", func(w *world) {
			w.history(first)
			w.git(second)
			w.pass()
			w.finish("Job/migrate")
			w.pass()
			w.git(first, deployment("api", wave(1)))
			w.pin()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run before with this content, and runs again only for a new commit [blocked: waits for the running Job of another commit to finish]
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/migrate in wave 0]
			Waiting: Job/migrate: waits for the running Job of another commit to finish`},
		{"a namespace that is gone took with it what ran", func(w *world) {
			w.history(first, second)
			w.remove("Namespace/posts")
			w.settle()
			w.git(first)
			w.pin()
		}, `
			keep Namespace/posts
			replace Job/posts/migrate: changed since it ran
			Going: Job/migrate: changed since it ran`},
	})
}

// The record keeps the newest runs, per Job and in total.
func TestRecordOfRunsIsBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		w.git(job("migrate", runs(fmt.Sprintf("app:%d", i))))
		w.settle()
	}
	if got := len(w.in.Record.Ran); got != 8 {
		t.Errorf("%d runs of one Job are remembered, want 8", got)
	}
	for i := range 80 {
		w.git(job(fmt.Sprintf("migrate-%d", i)))
		w.settle()
	}
	if got := len(w.in.Record.Ran); got != 64 {
		t.Errorf("%d runs are remembered, want 64", got)
	}
	newest := plan.Run{Job: w.in.Desired.Objects[0].Key(), Digest: w.in.Desired.Objects[0].Digest}
	if got := w.in.Record.Ran[63]; got != newest {
		t.Errorf("the newest is %v, want %v", got, newest)
	}
}

// history settles one Job after another, as commits of the branch.
func (w *world) history(jobs ...manifest.Object) {
	for _, j := range jobs {
		w.git(j)
		w.settle()
	}
}
