package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

func onRemoval(u *unstructured.Unstructured) { annotated(manifest.AnnotationJob, "on-removal")(u) }

// TestOnRemoval is about Jobs that run on removal, while the environment stays.
func TestOnRemoval(t *testing.T) {
	check(t, []spec{
		{"it is proved valid before the first Job, and nothing waits for it", func(w *world) {
			w.git(job("create", wave(-1)), job("drop", onRemoval), deployment("api"))
		}, `
			create Namespace/posts: is not in the cluster yet
			prepare Job/posts/drop: runs when the environment is torn down
			create Job/posts/create: is to run
			create Deployment/posts/api: is not in the cluster yet [blocked: waits for Job/create in wave -1]
			Going: Namespace/posts: is not in the cluster yet; Job/drop: runs when the environment is torn down; Job/create: is to run; and 1 more`},
		{"then it is remembered, and is not created", func(w *world) {
			w.git(job("create", wave(-1)), job("drop", onRemoval), deployment("api"))
			w.settle()
		}, `
			keep Namespace/posts
			keep Job/posts/drop: runs when the environment is torn down
			keep Job/posts/create: has run
			keep Deployment/posts/api
			Settled`},
		{"a change is proved again, whatever it changes", func(w *world) {
			w.git(job("drop", onRemoval))
			w.settle()
			w.git(job("drop", onRemoval, wave(3)))
		}, `
			keep Namespace/posts
			prepare Job/posts/drop: runs when the environment is torn down
			Going: Job/drop: runs when the environment is torn down`},
		{"one that the API server would not take fails the sync", func(w *world) {
			w.git(job("drop", onRemoval))
			w.refuse(job("drop"), "spec.template.spec.restartPolicy: Required value; correct it in Git")
			w.pass()
		}, `
			keep Namespace/posts
			prepare Job/posts/drop: runs when the environment is torn down [failed: spec.template.spec.restartPolicy: Required value; correct it in Git]
			Failed: Job/drop (drop.yaml:1): spec.template.spec.restartPolicy: Required value; correct it in Git`},
		{"a retry runs nothing", func(w *world) {
			w.git(job("drop", onRemoval))
			w.settle()
			w.in.Retry = true
		}, `
			keep Namespace/posts
			keep Job/posts/drop: runs when the environment is torn down
			Settled`},
		{"what ran before it became one is removed", func(w *world) {
			w.git(job("drop"))
			w.settle()
			w.git(job("drop", onRemoval))
		}, `
			keep Namespace/posts
			delete Job/posts/drop: runs when the environment is torn down, and an earlier run still exists
			Settled`},
		{"but not while it runs", func(w *world) {
			w.git(job("drop"))
			w.pass()
			w.git(job("drop", onRemoval))
		}, `
			keep Namespace/posts
			delete Job/posts/drop: runs when the environment is torn down [blocked: waits for the running Job to finish]
			Settled`},
		{"an object of another client is in the way", func(w *world) {
			taken(w, job("drop"))
			w.git(job("drop", onRemoval))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			keep Job/posts/drop: runs when the environment is torn down [failed: is there already and was not made by Berth; remove it, or rename the one in Git]
			Failed: Job/drop (drop.yaml:1): is there already and was not made by Berth; remove it, or rename the one in Git`},
		{"what is needed again runs on: a run that failed is removed", func(w *world) {
			w.git(job("drop", onRemoval), deployment("api"))
			w.settle()
			w.goes()
			w.fails("Job/drop", "BackoffLimitExceeded")
			w.goes()
		}, `
			keep Namespace/posts
			delete Job/posts/drop: runs when the environment is torn down, and an earlier run still exists
			keep Deployment/posts/api
			Settled`},
	})
}

// A Job that left Git is forgotten when the commit without it has settled, and not before.
func TestALastJobLeavesGit(t *testing.T) {
	w := newWorld(t)
	w.git(job("drop", onRemoval), deployment("api"))
	w.settle()
	w.git(deployment("api", version(2)))
	w.pass()
	w.fails("Deployment/api", "container api: ErrImagePull")
	w.pass()
	if len(w.in.Record.LastJobs) != 1 {
		t.Error("it is forgotten while the commit without it fails")
	}
	w.finish("Deployment/api")
	w.pass()
	if len(w.in.Record.LastJobs) != 0 {
		t.Error("it is still remembered")
	}
}

// A Job that is too large for the record is refused, with a message that names a solution.
func TestALastJobIsTooLarge(t *testing.T) {
	w := newWorld(t)
	w.git(job("drop", onRemoval, annotated("script", strings.Repeat("x", 70_000))))
	if p := w.plan(); p.State != plan.Failed || !strings.Contains(p.Message, "move its scripts to a ConfigMap") {
		t.Errorf("the plan is\n%s", p)
	}
}

// TestLastJobs is about the same Jobs when the environment is deleted.
func TestLastJobs(t *testing.T) {
	drop := job("drop", onRemoval)
	stands := func(w *world, jobs ...manifest.Object) {
		w.git(append(jobs, deployment("api"), configMap("env"))...)
		w.settle()
	}
	for _, s := range []spec{
		{"it runs before anything is deleted", func(w *world) {
			stands(w, drop)
		}, `
			create Job/posts/drop: runs before anything is deleted
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Going: 2 to delete: Job/drop: runs before anything is deleted; and 1 more`},
		{"the teardown waits for its success", func(w *world) {
			stands(w, drop)
			w.goes()
		}, `
			keep Job/posts/drop: runs when the environment is torn down (Progressing: runs before anything is deleted: 0 of 1 completed)
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Waiting: Job/drop: runs before anything is deleted: 0 of 1 completed; and 1 more`},
		{"then the rest goes", func(w *world) {
			stands(w, drop)
			w.goes()
			w.finish("Job/drop")
		}, `
			delete Namespace/posts: the environment is torn down
			Going: 1 to delete: Namespace/posts: the environment is torn down`},
		{"in a shared namespace it goes with the rest", func(w *world) {
			taken(w)
			stands(w, drop)
			w.goes()
			w.finish("Job/drop")
		}, `
			delete Deployment/posts/api: the environment is torn down
			delete Job/posts/drop: the environment is torn down
			delete ConfigMap/posts/env: the environment is torn down [blocked: waits until Deployment/api is gone]
			Going: 3 to delete: Deployment/api, Job/drop: the environment is torn down; and 1 more`},
		{"and does not run again once it is gone", func(w *world) {
			taken(w)
			stands(w, drop)
			w.goes()
			w.finish("Job/drop")
			w.goes()
			w.finish("Job/drop")
			w.finish("Deployment/api")
		}, `
			delete ConfigMap/posts/env: the environment is torn down
			Going: 1 to delete: ConfigMap/env: the environment is torn down`},
		{"wave by wave", func(w *world) {
			stands(w, job("dump", onRemoval, wave(-1)), drop)
		}, `
			create Job/posts/dump: runs before anything is deleted
			create Job/posts/drop: runs when the environment is torn down [blocked: waits for Job/dump, which runs when the environment is torn down]
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/dump, which runs when the environment is torn down]
			Going: 3 to delete: Job/dump: runs before anything is deleted; and 2 more`},
		{"a run that failed is a person's business", func(w *world) {
			stands(w, drop)
			w.goes()
			w.fails("Job/drop", "BackoffLimitExceeded: no such host")
		}, `
			keep Job/posts/drop: runs when the environment is torn down [failed: BackoffLimitExceeded: no such host; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login]
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Failed: Job/drop (drop.yaml:1): BackoffLimitExceeded: no such host; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login`},
		{"so is one that takes too long", func(w *world) {
			stands(w, drop)
			w.goes()
			w.after(5 * time.Minute)
		}, `
			keep Job/posts/drop: runs when the environment is torn down [failed: has not succeeded within 5m0s: runs before anything is deleted: 0 of 1 completed; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login]
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Failed: Job/drop (drop.yaml:1): has not succeeded within 5m0s: runs before anything is deleted: 0 of 1 completed; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login`},
		{"its own deadline counts", func(w *world) {
			stands(w, job("drop", onRemoval, deadline(3600)))
			w.goes()
			w.after(time.Hour)
		}, `
			keep Job/posts/drop: runs when the environment is torn down (Progressing: runs before anything is deleted: 0 of 1 completed)
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Waiting: Job/drop: runs before anything is deleted: 0 of 1 completed; and 1 more`},
		{"one that succeeds late counts too", func(w *world) {
			stands(w, drop)
			w.goes()
			w.after(5 * time.Minute)
			w.goes()
			w.finish("Job/drop")
		}, `
			delete Namespace/posts: the environment is torn down
			Going: 1 to delete: Namespace/posts: the environment is torn down`},
		{"a confirmation lets the rest go without it", func(w *world) {
			stands(w, drop)
			w.goes()
			w.fails("Job/drop", "BackoffLimitExceeded")
			w.goes()
			w.confirms()
		}, `
			delete Namespace/posts: the environment is torn down
			Going: 1 to delete: Namespace/posts: the environment is torn down`},
		{"but not one that came before it failed", func(w *world) {
			stands(w, drop)
			w.confirms()
			w.goes()
			w.fails("Job/drop", "BackoffLimitExceeded")
			w.goes()
		}, `
			keep Job/posts/drop: runs when the environment is torn down [failed: BackoffLimitExceeded; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login]
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Failed: Job/drop (drop.yaml:1): BackoffLimitExceeded; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login`},
		{"a retry runs it again", func(w *world) {
			stands(w, drop)
			w.goes()
			w.fails("Job/drop", "BackoffLimitExceeded")
			w.goes()
			w.in.Retry = true
		}, `
			replace Job/posts/drop: runs again, because a user asked for it
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Going: 2 to delete: Job/drop: runs again, because a user asked for it; and 1 more`},
		{"one that was deleted by hand while it ran has not succeeded", func(w *world) {
			stands(w, drop)
			w.goes()
			w.remove("Job/drop")
			w.finish("Job/drop")
		}, `
			keep Job/posts/drop: runs when the environment is torn down [failed: was deleted by another client before it finished; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login]
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Failed: Job/drop (drop.yaml:1): was deleted by another client before it finished; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login`},
		{"one that the API server refuses cannot run", func(w *world) {
			stands(w, drop)
			w.refuse(drop, "exceeded quota: jobs; ask for less")
			w.goes()
		}, `
			create Job/posts/drop: runs before anything is deleted [failed: exceeded quota: jobs; ask for less; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login]
			delete Namespace/posts: the environment is torn down [blocked: waits for Job/drop, which runs when the environment is torn down]
			Failed: Job/drop (drop.yaml:1): exceeded quota: jobs; ask for less; nothing is deleted before it has succeeded; to run it again: berth retry posts.review.login; to delete without it: berth confirm posts.review.login`},
		{"it is deleted with a namespace that a user deletes", func(w *world) {
			stands(w, drop)
			w.remove("Namespace/posts")
		}, `
			delete Namespace/posts: the environment is torn down [blocked: is being deleted]
			Waiting: Namespace/posts: is being deleted`},
		{"what never ran here has nothing to remove", func(w *world) {
			w.git(drop)
		}, `
			Settled`},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t)
			s.story(w)
			p := w.teardown()
			w.check(p)
			if got, want := p.String(), lines(s.want); got != want {
				t.Errorf("the plan is\n%s\n\nand should be\n%s", got, want)
			}
		})
	}
}

// An agent that dies at any moment of the removal runs no Job twice.
func TestALastJobRunsOnce(t *testing.T) {
	for dies := range 3 {
		w := newWorld(t)
		w.git(job("drop", onRemoval))
		w.settle()
		w.crashAfter = dies
		for range 10 {
			w.goes()
			if _, there := w.find("Job/drop"); there && !slices.Contains(w.busy(), "Namespace/posts") {
				w.becomes("Job/drop", health.Healthy, "")
				w.finish("Job/drop")
			}
		}
		for digest, n := range w.created {
			if n != 1 {
				t.Errorf("killed after %d steps: the Job %s ran %d times", dies, digest, n)
			}
		}
	}
}

// A Job that could not run is reported once.
func TestALastJobIsSkippedOnce(t *testing.T) {
	w := newWorld(t)
	w.git(job("drop", onRemoval))
	w.settle()
	w.remove("Namespace/posts")
	want := []string{"Job/drop did not run: its namespace posts is gone, or is being deleted"}
	if got := w.teardown().Warnings; !slices.Equal(got, want) {
		t.Errorf("the warnings are %q, want %q", got, want)
	}
	w.goes()
	if got := w.teardown().Warnings; len(got) > 0 {
		t.Errorf("it is said again: %q", got)
	}
}

// A removal that has begun cannot be undone, unless its Job failed.
func TestLeaving(t *testing.T) {
	w := newWorld(t)
	w.git(job("drop", onRemoval))
	w.settle()
	leaving := func(want bool, when string) {
		t.Helper()
		if got := w.in.Record.Leaving(); got != want {
			t.Errorf("%s: leaving is %t", when, got)
		}
	}
	leaving(false, "while the environment stays")
	w.goes()
	leaving(true, "while the Job runs")
	w.fails("Job/drop", "BackoffLimitExceeded")
	w.goes()
	leaving(false, "after the Job failed")
	w.in.Retry = true
	w.goes()
	leaving(true, "when it is to run again")
}
