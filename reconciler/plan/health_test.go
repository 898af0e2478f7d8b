package plan_test

import (
	"testing"
	"time"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// TestRefusals is about steps that the API server refuses.
func TestRefusals(t *testing.T) {
	const invalid = "spec.replicas: Invalid value: -1; correct it in Git"
	// running is an environment with something to lose. The API server refuses its new env.
	running := func(w *world) {
		w.git(configMap("env"), configMap("old"), deployment("api"))
		w.settle()
		w.git(configMap("env", version(2)), configMap("old"), deployment("api"))
		w.refuse(configMap("env"), invalid)
		w.pass()
		w.git(configMap("env", version(2)), configMap("old"), deployment("api", version(2)), configMap("new"))
	}
	check(t, []spec{
		{"a first sync goes on with the rest", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.refuse(configMap("env"), invalid)
			w.pass()
		}, `
			keep Namespace/posts
			create ConfigMap/posts/env: is not in the cluster yet [failed: spec.replicas: Invalid value: -1; correct it in Git]
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			Failed: ConfigMap/env (env.yaml:1): spec.replicas: Invalid value: -1; correct it in Git`},
		{"a running environment is not left half way", running, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git [failed: spec.replicas: Invalid value: -1; correct it in Git]
			create ConfigMap/posts/new: is not in the cluster yet [blocked: the sync is refused because of ConfigMap/env]
			keep ConfigMap/posts/old
			change Deployment/posts/api: differs from Git [blocked: the sync is refused because of ConfigMap/env]
			Failed: ConfigMap/env (env.yaml:1): spec.replicas: Invalid value: -1; correct it in Git`},
		{"corrections go on all the same", func(w *world) {
			running(w)
			w.disturb("ConfigMap/old")
		}, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git [failed: spec.replicas: Invalid value: -1; correct it in Git]
			create ConfigMap/posts/new: is not in the cluster yet [blocked: the sync is refused because of ConfigMap/env]
			correct ConfigMap/posts/old: was changed by another client
			change Deployment/posts/api: differs from Git [blocked: the sync is refused because of ConfigMap/env]
			Failed: ConfigMap/env (env.yaml:1): spec.replicas: Invalid value: -1; correct it in Git`},
		{"when its time has come, what was refused is tried alone", func(w *world) {
			running(w)
			w.after(time.Minute)
		}, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git
			create ConfigMap/posts/new: is not in the cluster yet [blocked: waits for ConfigMap/env, which was refused before]
			keep ConfigMap/posts/old
			change Deployment/posts/api: differs from Git [blocked: waits for ConfigMap/env, which was refused before]
			Going: ConfigMap/env: differs from Git; and 2 more`},
		{"which does not block corrections", func(w *world) {
			running(w)
			w.after(time.Minute)
			w.disturb("ConfigMap/old")
		}, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git
			create ConfigMap/posts/new: is not in the cluster yet [blocked: waits for ConfigMap/env, which was refused before]
			correct ConfigMap/posts/old: was changed by another client
			change Deployment/posts/api: differs from Git [blocked: waits for ConfigMap/env, which was refused before]
			Going: ConfigMap/env: differs from Git; ConfigMap/old: was changed by another client; and 2 more`},
		{"and when it has passed, the rest follows", func(w *world) {
			running(w)
			w.after(time.Minute)
			w.allow(configMap("env"))
			w.pass()
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			create ConfigMap/posts/new: is not in the cluster yet
			keep ConfigMap/posts/old
			change Deployment/posts/api: differs from Git
			Going: ConfigMap/new: is not in the cluster yet; Deployment/api: differs from Git`},
		{"what was refused behind a gate does not keep the gate from opening", func(w *world) {
			w.git(deployment("db"), deployment("api", wave(1)))
			w.settle()
			w.git(deployment("db"), deployment("api", wave(1), version(2)))
			w.refuse(deployment("api"), invalid)
			w.pass()
			w.git(deployment("db", version(2)), deployment("api", wave(1), version(2)))
			w.after(time.Minute)
		}, `
			keep Namespace/posts
			change Deployment/posts/db: differs from Git
			change Deployment/posts/api: differs from Git [blocked: waits for Deployment/db in wave 0]
			Going: Deployment/db: differs from Git; and 1 more`},
		{"another content is tried at once", func(w *world) {
			running(w)
			w.git(configMap("env", version(3)), configMap("old"), deployment("api"))
		}, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git
			keep ConfigMap/posts/old
			keep Deployment/posts/api
			Going: ConfigMap/env: differs from Git`},
		{"a Job that the API server refuses stops a running environment, too", func(w *world) {
			w.git(deployment("api"))
			w.settle()
			w.git(deployment("api"), job("migrate"))
			w.refuse(job("migrate"), "spec.template: Required value; correct it in Git")
			w.pass()
			w.git(deployment("api", version(2)), job("migrate"))
		}, `
			keep Namespace/posts
			create Job/posts/migrate: is to run [failed: spec.template: Required value; correct it in Git]
			change Deployment/posts/api: differs from Git [blocked: the sync is refused because of Job/migrate]
			Failed: Job/migrate (migrate.yaml:1): spec.template: Required value; correct it in Git`},
		{"the environment waits for what may pass by itself, and fails nothing", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.unready(configMap("env"), "the API server is overloaded; it is tried again")
			w.pass()
			w.finish("Deployment/api")
		}, `
			keep Namespace/posts
			create ConfigMap/posts/env: is not in the cluster yet [blocked: the API server is overloaded; it is tried again]
			keep Deployment/posts/api
			Going: ConfigMap/env: the API server is overloaded; it is tried again`},
		{"not even a healthy environment becomes ill of it", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.settle()
			w.disturb("ConfigMap/env")
			w.unready(configMap("env"), "the API server is overloaded; it is tried again")
			w.pass()
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client [blocked: the API server is overloaded; it is tried again]
			keep Deployment/posts/api
			Settled`},
		{"an object that another environment has stops a running environment", func(w *world) {
			w.git(deployment("api"))
			w.settle()
			w.write(configMap("env"), theirs)
			w.git(deployment("api", version(2)), configMap("env"))
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env [failed: belongs to another environment; two environments cannot share an object: remove it from one of them]
			change Deployment/posts/api: differs from Git [blocked: the sync is refused because of ConfigMap/env]
			Failed: ConfigMap/env (env.yaml:1): belongs to another environment; two environments cannot share an object: remove it from one of them`},
	})
}

// TestHealth is about the states of an environment after everything is written.
func TestHealth(t *testing.T) {
	slow := func(w *world) {
		w.git(deployment("api"), deployment("web"), configMap("env"))
		w.pass()
		w.finish("Deployment/web")
	}
	check(t, []spec{
		{"a rollout is on its way", slow, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			keep Deployment/posts/web
			Going: Deployment/api: 0 of 1 ready`},
		{"one that is only slow fails at its time-out, and names what is not ready", func(w *world) {
			slow(w)
			w.after(5 * time.Minute)
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			keep Deployment/posts/web
			Failed: not ready after 5m0s: Deployment/api: 0 of 1 ready`},
		{"and is settled when it comes after all", func(w *world) {
			slow(w)
			w.after(time.Hour)
			w.pass()
			w.finish("Deployment/api")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api
			keep Deployment/posts/web
			Settled`},
		{"one that cannot succeed fails at once", func(w *world) {
			slow(w)
			w.fails("Deployment/api", "container api: ErrImagePull: posts:2 not found")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api (Failed: container api: ErrImagePull: posts:2 not found)
			keep Deployment/posts/web
			Failed: Deployment/api: container api: ErrImagePull: posts:2 not found`},
		{"four objects that are not ready are too many to name", func(w *world) {
			w.git(deployment("a"), deployment("b"), deployment("c"), deployment("d"))
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/a (Progressing: 0 of 1 ready)
			keep Deployment/posts/b (Progressing: 0 of 1 ready)
			keep Deployment/posts/c (Progressing: 0 of 1 ready)
			keep Deployment/posts/d (Progressing: 0 of 1 ready)
			Going: Deployment/a, Deployment/b, Deployment/c: 0 of 1 ready; and 1 more`},
		{"what causes is named before what suffers from it", func(w *world) {
			w.git(deployment("db", wave(1)), deployment("api", wave(1)), deployment("a", wave(2)))
			w.pass()
			w.finish("Deployment/api")
			w.after(5 * time.Minute)
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep Deployment/posts/db (Progressing: 0 of 1 ready)
			create Deployment/posts/a: is not in the cluster yet [blocked: waits for Deployment/db in wave 1]
			Failed: not ready after 5m0s: Deployment/db: 0 of 1 ready; and 1 more`},
		{"an object may take longer than the others", func(w *world) {
			w.git(deployment("api"), deployment("slow", annotated(manifest.AnnotationTimeout, "15m")))
			w.pass()
			w.finish("Deployment/api")
			w.after(14 * time.Minute)
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep Deployment/posts/slow (Progressing: 0 of 1 ready)
			Going: Deployment/slow: 0 of 1 ready`},
		{"or has less time", func(w *world) {
			w.git(deployment("api"), deployment("quick", annotated(manifest.AnnotationTimeout, "10s")))
			w.pass()
			w.after(10 * time.Second)
		}, `
			keep Namespace/posts
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			keep Deployment/posts/quick (Progressing: 0 of 1 ready)
			Failed: not ready after 10s: Deployment/api, Deployment/quick: 0 of 1 ready`},
		{"what was written later has its time from then on", func(w *world) {
			w.git(deployment("db", wave(1)), deployment("api", wave(2)))
			w.pass()
			w.after(4 * time.Minute)
			w.finish("Deployment/db")
			w.pass()
			w.after(4 * time.Minute)
		}, `
			keep Namespace/posts
			keep Deployment/posts/db
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			Going: Deployment/api: 0 of 1 ready`},
		{"a newer commit supersedes one that failed", func(w *world) {
			slow(w)
			w.fails("Deployment/api", "container api: ErrImagePull")
			w.pass()
			w.git(deployment("api", version(2)), deployment("web"), configMap("env"))
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			change Deployment/posts/api: differs from Git
			keep Deployment/posts/web
			Going: Deployment/api: differs from Git`},
		{"and one that timed out, with a time of its own", func(w *world) {
			slow(w)
			w.after(5 * time.Minute)
			w.pass()
			w.git(deployment("api", version(2)), deployment("web"), configMap("env"))
			w.pass()
			w.after(4 * time.Minute)
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			keep Deployment/posts/web
			Going: Deployment/api: 0 of 1 ready`},
		{"and one that is still on its way", func(w *world) {
			slow(w)
			w.git(deployment("api", version(2)), deployment("web"))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git
			keep Deployment/posts/web
			delete ConfigMap/posts/env: is no longer in Git [blocked: waits for Deployment/api: differs from Git]
			Going: Deployment/api: differs from Git; and 1 more`},
		{"a retry starts the time-out again", func(w *world) {
			slow(w)
			w.after(5 * time.Minute)
			w.in.Retry = true
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			keep Deployment/posts/web
			Going: Deployment/api: 0 of 1 ready`},
		{"a Job that sets its own limit may take longer than the time-out", func(w *world) {
			w.git(job("import", deadline(7200)))
			w.pass()
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			keep Job/posts/import: has not finished (Progressing: 0 of 1 completed)
			Going: Job/import: 0 of 1 completed`},
		{"and what comes after it has the whole time-out", func(w *world) {
			w.git(job("import", deadline(7200)), deployment("api", wave(1)))
			w.pass()
			w.after(time.Hour)
			w.finish("Job/import")
			w.pass()
			w.after(4 * time.Minute)
		}, `
			keep Namespace/posts
			keep Job/posts/import: has run
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			Going: Deployment/api: 0 of 1 ready`},
		{"no other Job may", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.after(time.Hour)
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has not finished (Progressing: 0 of 1 completed)
			Failed: not ready after 5m0s: Job/migrate: 0 of 1 completed`},
		{"no time-out runs while an environment is suspended", func(w *world) {
			slow(w)
			w.in.Suspended = true
			w.pass()
			w.after(time.Hour)
			w.in.Suspended = false
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			keep Deployment/posts/web
			Going: Deployment/api: 0 of 1 ready`},
		{"what was healthy and is not is degraded", func(w *world) {
			slow(w)
			w.settle()
			w.fails("Deployment/api", "container api: CrashLoopBackOff: exit code 1")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api (Failed: container api: CrashLoopBackOff: exit code 1)
			keep Deployment/posts/web
			Degraded: Deployment/api: container api: CrashLoopBackOff: exit code 1`},
		{"and comes back", func(w *world) {
			slow(w)
			w.settle()
			w.fails("Deployment/api", "container api: CrashLoopBackOff: exit code 1")
			w.pass()
			w.finish("Deployment/api")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api
			keep Deployment/posts/web
			Settled`},
		{"what stays unready for longer than a rollout may take is degraded, too", func(w *world) {
			slow(w)
			w.settle()
			w.becomes("Deployment/api", health.Progressing, "2 of 3 ready")
			w.pass()
			w.after(5 * time.Minute)
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Deployment/posts/api (Progressing: 2 of 3 ready)
			keep Deployment/posts/web
			Degraded: not ready for 5m0s: Deployment/api: 2 of 3 ready`},
	})
}

// TestDeadline is about when a plan may change although nothing happens.
func TestDeadline(t *testing.T) {
	for _, s := range []struct {
		name  string
		story func(w *world)
		want  time.Duration // from noon; 0: never
	}{
		{"a settled environment is left alone", func(w *world) {
			w.git(deployment("api"))
			w.settle()
		}, 0},
		{"a rollout has its time-out", func(w *world) {
			w.git(deployment("api"))
		}, 5 * time.Minute},
		{"which does not move when it is looked at", func(w *world) {
			w.git(deployment("api"))
			w.pass()
			w.after(time.Minute)
			w.pass()
		}, 5 * time.Minute},
		{"an environment without a time-out has none", func(w *world) {
			w.in.Timeout = 0
			w.git(deployment("api"))
		}, 0},
		{"what was refused is tried again", func(w *world) {
			w.git(configMap("env"))
			w.refuse(configMap("env"), "no")
			w.pass()
		}, time.Minute},
		{"a health that changes by itself is judged again", func(w *world) {
			w.git(deployment("api"))
			w.pass()
			w.change("Deployment/api", func(l *observed.Object) { l.Recheck = noon.Add(30 * time.Second) })
		}, 30 * time.Second},
		{"a finished Job has its time to live", func(w *world) {
			w.git(job("migrate", ttl(60)))
			w.pass()
			w.finish("Job/migrate")
			w.pass()
		}, time.Minute},
		{"an object that waits for another controller has none", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.git(job("migrate", runs("app:2")))
		}, 0},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t)
			s.story(w)
			got := w.plan().Deadline
			if s.want == 0 && !got.IsZero() || s.want != 0 && !got.Equal(noon.Add(s.want)) {
				t.Errorf("the deadline is %s, want %s after noon", got, s.want)
			}
		})
	}
}

// TestApplied is about when everything in Git counts as written.
func TestApplied(t *testing.T) {
	for _, c := range []struct {
		name  string
		story func(w *world)
		want  bool
	}{
		{"not before the first write", func(w *world) { w.git(configMap("env")) }, false},
		{"healthy or not", func(w *world) {
			w.git(deployment("api"))
			w.pass()
			w.fails("Deployment/api", "container api: ErrImagePull")
		}, true},
		{"a Job that failed was written", func(w *world) {
			w.git(job("migrate"))
			w.pass()
			w.fails("Job/migrate", "BackoffLimitExceeded")
		}, true},
		{"a Job whose time to live is over was, too", func(w *world) {
			w.git(job("migrate", ttl(0)))
			w.pass()
			w.finish("Job/migrate")
			w.pass()
		}, true},
		{"what waits behind a gate is not", func(w *world) {
			w.git(deployment("db"), deployment("api", wave(1)))
			w.pass()
		}, false},
		{"what belongs to another environment is not", func(w *world) {
			w.git(configMap("env"), configMap("theirs"))
			w.write(configMap("theirs"), theirs)
			w.pass()
		}, false},
		{"what has yet to be deleted does not count", func(w *world) {
			w.git(configMap("env"), configMap("old"))
			w.settle()
			w.git(configMap("env"))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.story(w)
			if p := w.plan(); p.Applied != c.want {
				t.Errorf("applied is %v, want %v:\n%s", p.Applied, c.want, p)
			}
		})
	}
}

// An object that counts as healthy only because it exists is reported, and blocks nothing.
func TestAGuessedHealthIsAWarning(t *testing.T) {
	w := newWorld(t)
	w.git(deployment("api"))
	w.settle()
	w.change("Deployment/api", func(l *observed.Object) { l.Health.Message = "counts as healthy because it exists" })
	p := w.plan()
	if want := "Deployment/api counts as healthy because it exists"; p.State != plan.Settled || len(p.Warnings) != 1 || p.Warnings[0] != want {
		t.Errorf("it is %s with the warnings %q, want %q", p.State, p.Warnings, want)
	}
}

// An environment that became unhealthy is not healthy between two crashes, but only when nothing is open any more.
func TestDegradedLastsUntilAllHasSettled(t *testing.T) {
	w := newWorld(t)
	w.git(deployment("api"))
	w.settle()
	ill := func(s health.Status, message string) func(l *observed.Object) {
		return func(l *observed.Object) { l.Health = health.Health{Status: s, Message: message} }
	}
	for _, step := range []struct {
		change func(l *observed.Object)
		want   plan.State
	}{
		{ill(health.Progressing, "1 of 2 ready"), plan.Settled}, // a pod moves to another node
		{ill(health.Failed, "restarted again and again"), plan.Degraded},
		{ill(health.Progressing, "waits until its pods have run for 10s"), plan.Degraded},
		{ill(health.Failed, "restarted again and again"), plan.Degraded},
		{ill(health.Healthy, ""), plan.Settled},
		{ill(health.Progressing, "1 of 2 ready"), plan.Settled},
	} {
		w.change("Deployment/api", step.change)
		if p := w.pass(); p.State != step.want {
			t.Errorf("it is %s, want %s:\n%s", p.State, step.want, p)
		}
	}
}

// The API server's warnings at the last write hold until the next write.
func TestWarningsOfTheServerStay(t *testing.T) {
	w := newWorld(t)
	w.git(deployment("api"), configMap("env"))
	w.settle()
	live, _ := w.find("Deployment/api")
	key := live.Key
	w.in.Record.Warned(key, []string{"ports are named twice", "would violate PodSecurity"})
	want := "Deployment/api (api.yaml:1): the API server warns: ports are named twice; would violate PodSecurity"
	if p := w.pass(); len(p.Warnings) != 1 || p.Warnings[0] != want || p.State != plan.Settled {
		t.Errorf("it is %s with the warnings %q, want %q", p.State, p.Warnings, want)
	}
	w.in.Record.Warned(key, nil)
	if p := w.pass(); len(p.Warnings) != 0 {
		t.Errorf("after the next write it still says %q", p.Warnings)
	}
	w.in.Record.Warned(key, []string{"ports are named twice"})
	w.git(configMap("env"))
	w.settle()
	if left := w.in.Record.Warnings; len(left) != 0 {
		t.Errorf("%q is left of deleted objects", left)
	}
}
