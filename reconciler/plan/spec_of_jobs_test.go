package plan_test

import "testing"

// TestWhatIsAChangeOfAJob is about changes in Git that do not affect a run.
func TestWhatIsAChangeOfAJob(t *testing.T) {
	check(t, []spec{
		{"a time to live is none of a run's business", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", ttl(3600)))
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"nor is a default that is written out", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", completions(1)))
			w.settle()
			w.expectRuns(1)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"nor if the Job is gone", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.settle()
			w.git(job("migrate", ttl(0), completions(1)))
			w.settle()
			w.expectRuns(1)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"nor if the agent dies over it", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", completions(1)))
			w.crash(0)
			w.settle()
			w.expectRuns(1)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"but what is another value is another run", func(w *world) {
			w.git(job("migrate"))
			w.settle()
			w.git(job("migrate", completions(2)))
			w.settle()
			w.expectRuns(2)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"and one that failed runs again with its defaults written out", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
			w.pass()
			w.git(job("migrate", completions(1)))
			w.settle()
			w.expectRuns(2)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			Settled`},
		{"every-commit: it runs with every commit, whatever its spec", func(w *world) {
			w.git(job("seed", everyCommit))
			w.settle()
			w.git(job("seed", everyCommit, completions(1)))
			w.settle()
			w.expectRuns(2)
		}, `
			keep Namespace/posts
			keep Job/posts/seed: has run
			Settled`},
	})
}

// completions sets a field of a Job's spec whose default is 1.
func completions(n int64) edit { return field(n, "spec", "completions") }

// expectRuns fails the test unless exactly this many Jobs were created.
func (w *world) expectRuns(want int) {
	w.t.Helper()
	got := 0
	for _, n := range w.created {
		got += n
	}
	if got != want {
		w.t.Fatalf("%d Jobs were created, want %d", got, want)
	}
}
