package plan_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// copied copies an object under another name or into another namespace, as kubectl or a restore of a backup does. The
// copy has all marks and, after a restore, the managed fields too.
func copied(w *world, short string, to manifest.Key) {
	w.t.Helper()
	live, ok := w.find(short)
	if !ok {
		w.t.Fatalf("there is no %s to copy", short)
	}
	to.Group, to.Kind = live.Key.Group, live.Key.Kind
	live.Key, live.UID, live.ResourceVersion = to, types.UID(w.next()), w.next()
	w.objects[to] = live
}

// TestCopies is about objects that bear the environment's marks and were not made by Berth.
func TestCopies(t *testing.T) {
	settled := func(w *world) {
		w.git(deployment("api"), configMap("env"), job("migrate"))
		w.settle()
	}
	check(t, []spec{
		{"a copy under another name stays", func(w *world) {
			settled(w)
			copied(w, "Deployment/api", manifest.Key{Namespace: "posts", Name: "api-2"})
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Job/posts/migrate: has run
			keep Deployment/posts/api
			Settled`},
		{"a copy in another namespace stays", func(w *world) {
			settled(w)
			copied(w, "ConfigMap/env", manifest.Key{Namespace: "copy", Name: "env"})
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Job/posts/migrate: has run
			keep Deployment/posts/api
			Settled`},
		{"a copy of a Job stays", func(w *world) {
			settled(w)
			copied(w, "Job/migrate", manifest.Key{Namespace: "posts", Name: "migrate-2"})
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Job/posts/migrate: has run
			keep Deployment/posts/api
			Settled`},
		{"what a record has is pruned without a proof, as before there were any", func(w *world) {
			left(w, configMap("old"))
			w.change("ConfigMap/old", func(l *observed.Object) { l.Proof = "" })
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete ConfigMap/posts/old: is no longer in Git
			Going: ConfigMap/old: is no longer in Git`},
		{"what no record has is pruned by its proof", func(w *world) {
			left(w, configMap("old"), job("migrate"))
			w.in.Record = plan.Record{Kinds: w.in.Record.Kinds}
		}, `
			correct Namespace/posts: has no record of what was applied
			correct Deployment/posts/api: has no record of what was applied
			delete Job/posts/migrate: is no longer in Git [blocked: waits for Namespace/posts: has no record of what was applied]
			delete ConfigMap/posts/old: is no longer in Git [blocked: waits for Namespace/posts: has no record of what was applied]
			Going: Namespace/posts, Deployment/api: has no record of what was applied; and 2 more`},
		{"but not without both", func(w *world) {
			left(w, configMap("old"))
			w.in.Record = plan.Record{Kinds: w.in.Record.Kinds}
			w.change("ConfigMap/old", func(l *observed.Object) { l.Proof = "" })
		}, `
			correct Namespace/posts: has no record of what was applied
			correct Deployment/posts/api: has no record of what was applied
			Going: Namespace/posts, Deployment/api: has no record of what was applied`},
		{"nor by a proof that was made up", func(w *world) {
			left(w, configMap("old"))
			w.in.Record = plan.Record{Kinds: w.in.Record.Kinds}
			w.change("ConfigMap/old", func(l *observed.Object) { l.Proof = strings.Repeat("a", 26) })
		}, `
			correct Namespace/posts: has no record of what was applied
			correct Deployment/posts/api: has no record of what was applied
			Going: Namespace/posts, Deployment/api: has no record of what was applied`},
		{"a copy that Git names becomes what Git says", func(w *world) {
			settled(w)
			copied(w, "ConfigMap/env", manifest.Key{Namespace: "posts", Name: "env-2"})
			w.git(deployment("api"), configMap("env"), job("migrate"), configMap("env-2"))
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			change ConfigMap/posts/env-2: differs from Git
			keep Job/posts/migrate: has run
			keep Deployment/posts/api
			Going: ConfigMap/env-2: differs from Git`},
		{"a copy of a Job is no run of the Job that it is named as", func(w *world) {
			settled(w)
			copied(w, "Job/migrate", manifest.Key{Namespace: "posts", Name: "seed"})
			w.change("Job/seed", func(l *observed.Object) {
				l.Job = &observed.Job{Finished: true, FinishedAt: noon, Program: l.Job.Program}
			})
			w.git(deployment("api"), configMap("env"), job("migrate"), job("seed"))
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep Job/posts/migrate: has run
			replace Job/posts/seed: was made by another client, and did not do the same work
			keep Deployment/posts/api
			Going: Job/seed: was made by another client, and did not do the same work`},
	})
}

func TestCopiesAreWarnedOf(t *testing.T) {
	w := newWorld(t)
	w.git(deployment("api"), configMap("env"))
	w.settle()
	if warnings := w.plan().Warnings; len(warnings) > 0 {
		t.Fatalf("warned of %q", warnings)
	}
	copied(w, "Deployment/api", manifest.Key{Namespace: "posts", Name: "api-2"})
	want := "Deployment/posts/api-2: has this environment's label but was not made by Berth: it is probably a copy, and is left alone; " +
		"to remove the label: kubectl label deployment.apps api-2 -n posts berth.dev/environment-"
	if warnings := w.plan().Warnings; !slices.Equal(warnings, []string{want}) {
		t.Errorf("warned of %q", warnings)
	}
	for _, name := range []string{"b", "c", "d", "e"} {
		copied(w, "ConfigMap/env", manifest.Key{Namespace: "copy", Name: name})
	}
	warnings := w.plan().Warnings
	if len(warnings) != 4 || !strings.HasPrefix(warnings[3], "2 more copies like that; to find them: kubectl get KIND -A -l berth.dev/environment=") {
		t.Errorf("warned of %q", warnings)
	}
	// Objects that a controller derived from ours, such as the EndpointSlices of a Service, belong to that controller.
	for key, live := range w.objects {
		if key.Namespace == "copy" || key.Name == "api-2" {
			live.Controlled = true
			w.objects[key] = live
		}
	}
	if warnings := w.plan().Warnings; len(warnings) > 0 {
		t.Errorf("warned of %q", warnings)
	}
}

// TestEarlierMarks is about a cluster that an older version of Berth, without proofs, wrote.
func TestEarlierMarks(t *testing.T) {
	earlier := func(w *world) {
		w.git(deployment("api"), job("migrate"))
		w.settle()
		for key, live := range w.objects {
			live.Proof = ""
			w.objects[key] = live
		}
	}
	check(t, []spec{
		{"every object gets its mark once, and no Job runs", func(w *world) {
			earlier(w)
		}, `
			correct Namespace/posts: has the mark of an earlier version of Berth
			correct Job/posts/migrate: lacks Berth's marks
			correct Deployment/posts/api: has the mark of an earlier version of Berth
			Settled`},
		{"and then nothing is left to do", func(w *world) {
			earlier(w)
			w.pass()
		}, `
			keep Namespace/posts
			keep Job/posts/migrate: has run
			keep Deployment/posts/api
			Settled`},
		{"a Job that an agent created just before it was updated does not run again", func(w *world) {
			w.git(job("migrate"))
			w.crash(2)
			w.change("Job/migrate", func(l *observed.Object) { l.Proof = "" })
		}, `
			correct Namespace/posts: has no record of what was applied
			correct Job/posts/migrate: lacks Berth's marks
			Going: Namespace/posts: has no record of what was applied; Job/migrate: lacks Berth's marks`},
	})
}

// TestForgedLabels is about labels of environments that another client has written.
func TestForgedLabels(t *testing.T) {
	check(t, []spec{
		{"a namespace is not ours because it says so", func(w *world) {
			ns := w.write(w.in.Namespace.Object, "")
			w.change(ns.Key.Short(), func(l *observed.Object) { l.Environment = ours })
			w.git(configMap("env"))
		}, `
			keep Namespace/posts [failed: has this environment's label, but was not made by Berth; delete it, or change the entry's namespace]
			create ConfigMap/posts/env: is not in the cluster yet [blocked: Namespace/posts: has this environment's label, but was not made by Berth; delete it, or change the entry's namespace]
			Failed: Namespace/posts (the environment): has this environment's label, but was not made by Berth; delete it, or change the entry's namespace`},
		{"where others' namespaces may be used, it is used and stays theirs", func(w *world) {
			w.in.Namespace.Shared = true
			ns := w.write(w.in.Namespace.Object, "")
			w.change(ns.Key.Short(), func(l *observed.Object) { l.Environment = ours })
			w.git(configMap("env"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			create ConfigMap/posts/env: is not in the cluster yet
			Going: ConfigMap/env: is not in the cluster yet`},
		{"another environment's label on what we made is drift", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			relabel := func(l *observed.Object) { l.Environment, l.Ownership = theirs, "other fields" }
			w.change("ConfigMap/env", relabel)
			w.change("Namespace/posts", relabel)
		}, `
			correct Namespace/posts: was changed by another client
			correct ConfigMap/posts/env: was changed by another client
			Settled`},
		{"not where it is proved", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.write(configMap("env"), theirs)
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env [failed: belongs to another environment; two environments cannot share an object: remove it from one of them]
			Degraded: ConfigMap/env (env.yaml:1): belongs to another environment; two environments cannot share an object: remove it from one of them`},
		{"another installation's label, too, while the proof is ours", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.change("ConfigMap/env", func(l *observed.Object) { l.Environment, l.Ownership = "z9y8x7.posts-main", "other fields" })
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client
			Settled`},
		{"but not where another installation has taken it over", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.change("ConfigMap/env", func(l *observed.Object) {
				l.Environment, l.Ownership, l.Proof = "z9y8x7.posts-main", "other fields", "of another key"
			})
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env [failed: belongs to another environment; two environments cannot share an object: remove it from one of them]
			Degraded: ConfigMap/env (env.yaml:1): belongs to another environment; two environments cannot share an object: remove it from one of them`},
	})
}

// TestTeardownOfWhatIsProved is about which objects a teardown deletes.
func TestTeardownOfWhatIsProved(t *testing.T) {
	for _, s := range []spec{
		{"copies stay", func(w *world) {
			taken(w)
			w.git(configMap("env"))
			w.settle()
			copied(w, "ConfigMap/env", manifest.Key{Namespace: "posts", Name: "env-2"})
			copied(w, "ConfigMap/env", manifest.Key{Namespace: "copy", Name: "env"})
		}, `
			delete ConfigMap/posts/env: the environment is torn down
			Going: 1 to delete: ConfigMap/env: the environment is torn down`},
		{"a namespace is not ours because it says so", func(w *world) {
			ns := w.write(w.in.Namespace.Object, "")
			w.change(ns.Key.Short(), func(l *observed.Object) { l.Environment = ours })
		}, `
			Settled`},
		{"what was never written within the namespace stays if the record does not have it", func(w *world) {
			w.in.Within = "posts"
			elsewhere := w.write(configMap("env", within("prod")), ours)
			w.write(w.in.Namespace.Object, ours)
			if !plan.Ours(elsewhere, ours, plan.Record{}, prover) {
				w.t.Fatalf("the proof does not count")
			}
		}, `
			delete Namespace/posts: the environment is torn down
			Going: 1 to delete: Namespace/posts: the environment is torn down`},
		{"and goes if it does", func(w *world) {
			w.write(namespace("prod"), theirs)
			w.git(configMap("env", within("prod")))
			w.settle()
			w.in.Within = "posts"
		}, `
			delete Namespace/posts: the environment is torn down
			delete ConfigMap/prod/env: the environment is torn down [blocked: waits until Namespace/posts is gone]
			Going: 2 to delete: Namespace/posts: the environment is torn down; and 1 more`},
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
