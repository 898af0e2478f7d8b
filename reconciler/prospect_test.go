package reconciler

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/render"
)

// foresees returns what passes would do with a commit that the branch does not have, about the objects with some names.
func (w *world) foresees(commit string, names ...string) Prospect {
	w.t.Helper()
	set := func(commit string) manifest.Set {
		tree := must(w.store.Snapshot(w.t.Context(), commit))
		return must(render.Render(w.t.Context(), tree, w.RenderOptions(w.env, commit))).Set
	}
	changed := map[manifest.Key]bool{}
	for _, name := range names {
		changed[w.key(name)] = true
	}
	found, err := w.Foresee(w.t.Context(), w.env, Candidate{Current: set(w.env.Commit), Next: set(commit), Changed: changed, Proved: changed, Commit: commit})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// proposes returns the commit of another branch.
func (w *world) proposes(files ...string) string {
	w.t.Helper()
	before := w.env.Commit
	next := w.commits(files...)
	w.env.Commit = before
	return next
}

func TestWhatAMergeWouldDo(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"), "gone.yaml", configMap("gone", "x"), "job.yaml", job("migrate", "posts:1"), "api.yaml", deployment("api", "posts:1"))
	w.becomes(plan.Settled)
	next := w.proposes("a.yaml", configMap("a", "two"), "gone.yaml", "", "job.yaml", job("migrate", "posts:2"),
		"new.yaml", configMap("new", "x"), "api.yaml", strings.Replace(deployment("api", "posts:1"), "matchLabels: {app: api}", "matchLabels: {app: other}", 1))
	var found Prospect
	if writes := w.wire.during("", func() {
		found = w.foresees(next, "ConfigMap/a", "ConfigMap/gone", "ConfigMap/new", "Job/migrate", "Deployment/api")
	}); len(writes) == 0 {
		t.Error("nothing was validated")
	} else {
		for _, request := range writes {
			if !strings.HasPrefix(request, "GET ") && !strings.Contains(request, "dryRun=All") {
				t.Errorf("it wrote: %s", request)
			}
		}
	}
	for name, want := range map[string]plan.Action{"ConfigMap/a": plan.Change, "ConfigMap/gone": plan.Delete, "ConfigMap/new": plan.Create, "Job/migrate": plan.Replace, "Deployment/api": plan.Change} {
		if got := found.Steps[w.key(name)].Action; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if s := found.Steps[w.key("ConfigMap/gone")]; s.Obstructed() || s.Blocked != "" {
		t.Errorf("the deletion waits for %s", s.Blocked)
	}
	if r := found.Results[w.key("Deployment/api")]; r.Err == nil || !strings.HasPrefix(r.Err.Message, "api.yaml:") {
		t.Errorf("the Deployment is not refused with its place: %v", r.Err)
	}
	for _, name := range []string{"ConfigMap/a", "ConfigMap/new", "Job/migrate"} {
		if r, tried := found.Results[w.key(name)]; !tried || r.Err != nil || r.Unproved != "" {
			t.Errorf("%s: %v %v %q", name, tried, r.Err, r.Unproved)
		}
	}
	if w.value("a", "v") != "one" || w.value("new", "v") != "" {
		t.Error("something was written")
	}
	w.wire.during("", func() { w.pass() })
	if sent := w.wire.during("", func() { w.pass() }); len(sent) != 0 {
		t.Errorf("the environment has something to do after it: %v", sent)
	}
}

// A merge that deletes too much says that the deletion guard would block it, before anything else has settled.
func TestAMergeThatTheGuardWouldBlock(t *testing.T) {
	w := newWorld(t)
	var files, without, names []string
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		files = append(files, name+".yaml", configMap(name, "x"))
		without = append(without, name+".yaml", "")
		names = append(names, "ConfigMap/"+name)
	}
	w.commits(append(files, "rest.yaml", configMap("rest", "x"))...)
	w.becomes(plan.Settled)
	found := w.foresees(w.proposes(append(without, "more.yaml", configMap("more", "x"))...), names...)
	for _, name := range names {
		if s := found.Steps[w.key(name)]; s.Action != plan.Delete || !s.Obstructed() || !strings.Contains(s.Blocked, "7 of 8 objects would be deleted at once; to allow it: berth confirm") {
			t.Errorf("%s: %s %q", name, s.Action, s.Blocked)
		}
	}
}

// A Secret that Kustomize generates from an encrypted file has another name in the cluster. It does not count as deleted.
func TestAnObjectWhoseNameIsNotKnown(t *testing.T) {
	secret := func(name string) manifest.Key { return manifest.Key{Kind: "Secret", Namespace: "posts", Name: name} }
	object := func(name string) manifest.Object {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("v1")
		u.SetKind("Secret")
		u.SetNamespace("posts")
		u.SetName(name)
		return manifest.Object{Unstructured: u}
	}
	live := func(name, environment string) observed.Object {
		return observed.Object{Key: secret(name), Environment: environment}
	}
	in := plan.Input{Environment: "own", Desired: manifest.Set{Objects: []manifest.Object{object("db-concealed1"), object("db-wanted0000")}},
		Observed: observed.State{Objects: map[manifest.Key]observed.Object{}}, Record: plan.Record{Applied: map[manifest.Key]plan.Applied{secret("db-real000000"): {Digest: "x"}}}}
	for _, l := range []observed.Object{live("db-real000000", "own"), live("db-wanted0000", "own"), live("db-foreign000", "other"), live("db-longer-name", "own")} {
		in.Observed.Objects[l.Key] = l
	}
	Candidate{Unnamed: map[manifest.Key]string{secret("db-concealed1"): "db-"}}.rename(&in)
	for name, want := range map[string]bool{"db-concealed1": true, "db-real000000": false, "db-wanted0000": true, "db-foreign000": true, "db-longer-name": true} {
		if found, there := in.Observed.Objects[secret(name)]; there != want || there && found.Key != secret(name) {
			t.Errorf("%s is there: %t", name, there)
		}
	}
	if in.Record.Applied[secret("db-concealed1")].Digest != "x" || len(in.Record.Applied) != 1 {
		t.Errorf("the record has %v", in.Record.Applied)
	}
}
