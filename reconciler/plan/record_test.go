package plan_test

import (
	"encoding/json"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

var (
	env     = configMap("env").Key()
	migrate = job("migrate").Key()
)

// recorded returns a record with all fields set.
func recorded() plan.Record {
	return plan.Record{
		Sync:    plan.Sync{Digest: "input", Commit: "c1", Started: noon, Since: noon, Settled: true, Running: true},
		Guard:   plan.Guard{Digest: "input", Objects: 6, Judged: "yes"},
		Origin:  "k8s of posts.git",
		Applied: map[manifest.Key]plan.Applied{env: {Digest: "1:a", Ownership: "fields"}},
		Jobs:    map[manifest.Key]plan.JobRecord{migrate: {Digest: "1:b", State: plan.JobSucceeded, UID: "u1", FinishedAt: noon, Ever: true}},
		Kinds:   []schema.GroupVersionKind{{Version: "v1", Kind: "ConfigMap"}},
	}
}

func TestRecordIsStoredAsText(t *testing.T) {
	text, err := json.Marshal(recorded())
	if err != nil {
		t.Fatal(err)
	}
	var back plan.Record
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !back.Equal(recorded()) {
		t.Errorf("what was stored comes back as\n%+v", back)
	}
}

func TestRecordDiffers(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*plan.Record)
		protects bool
	}{
		{"the attempt can be stored afterwards", func(r *plan.Record) { r.Sync.Settled = false }, false},
		{"what was applied, too: without it, it is applied once more", func(r *plan.Record) { delete(r.Applied, env) }, false},
		{"so can what a person confirmed: who asks again is asked again", func(r *plan.Record) { r.Guard.Confirmed = true }, false},
		{"and where the manifests are", func(r *plan.Record) { r.Origin = "elsewhere" }, false},
		{"a Job's run must be stored first: it would run twice", func(r *plan.Record) { r.Jobs[migrate] = plan.JobRecord{State: plan.JobIntended} }, true},
		{"a new kind must be: otherwise its remaining objects would never be found", func(r *plan.Record) { r.Kinds = append(r.Kinds, schema.GroupVersionKind{Kind: "Secret"}) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			stored := recorded()
			changed := stored.Clone()
			if !changed.Equal(stored) || changed.Protects(stored) {
				t.Fatal("a copy differs from what it was made from")
			}
			c.change(&changed)
			if !stored.Equal(recorded()) {
				t.Error("changing a copy changes what it was made from")
			}
			if changed.Equal(stored) || changed.Protects(stored) != c.protects {
				t.Errorf("equal: %v, protects: %v, want false and %v", changed.Equal(stored), changed.Protects(stored), c.protects)
			}
		})
	}
}

func TestRecordOfWhatWasWritten(t *testing.T) {
	object := func(o manifest.Object) *manifest.Object {
		set := sealed(o)
		return &set.Objects[0]
	}
	intended := plan.JobRecord{Digest: "1:b", State: plan.JobIntended}
	for _, c := range []struct {
		name    string
		step    plan.Step
		now     *observed.Object
		applied string
		run     plan.JobRecord
	}{
		{"what was applied, and which fields are ours now",
			plan.Step{Action: plan.Change, Key: env, Object: object(configMap("env"))}, &observed.Object{Ownership: "more"}, "more", intended},
		{"what was deleted is gone", plan.Step{Action: plan.Delete, Key: env}, nil, "", intended},
		{"the run of a Job that was created",
			plan.Step{Action: plan.Create, Key: migrate, Object: object(job("migrate"))}, &observed.Object{UID: "u2"}, "fields",
			plan.JobRecord{Digest: "1:b", State: plan.JobCreated, UID: "u2"}},
		{"a Job that was deleted for another does not run yet",
			plan.Step{Action: plan.Replace, Key: migrate, Object: object(job("migrate"))}, nil, "fields", intended},
		{"a Job whose marks were put back runs as before",
			plan.Step{Action: plan.Correct, Key: migrate, Object: object(job("migrate"))}, &observed.Object{UID: "u2"}, "fields", intended},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := recorded()
			r.Jobs[migrate] = intended
			r.Wrote(c.step, c.now)
			if got := r.Applied[env].Ownership; got != c.applied {
				t.Errorf("the fields that are ours are recorded as %q, want %q", got, c.applied)
			}
			if got := r.Jobs[migrate]; got != c.run {
				t.Errorf("the run is recorded as %+v, want %+v", got, c.run)
			}
		})
	}
}

func TestRecordForgetsWhatIsNowhere(t *testing.T) {
	w := newWorld(t)
	w.git(configMap("env"), configMap("kept", annotated(manifest.AnnotationPrune, "never")), job("migrate"), deployment("api"))
	w.settle()
	w.git(deployment("api"))
	w.settle()
	r := w.in.Record
	_, applied := r.Applied[env]
	if _, ran := r.Jobs[migrate]; applied || ran {
		t.Errorf("what neither Git nor the cluster has is remembered: %+v", r)
	}
	want := []schema.GroupVersionKind{{Version: "v1", Kind: "ConfigMap"}, {Group: "apps", Version: "v1", Kind: "Deployment"}}
	if !slices.Equal(r.Kinds, want) {
		t.Errorf("the kinds to watch are %v, want %v", r.Kinds, want)
	}
}

func TestRecordKeepsKindsThatCannotBeSeen(t *testing.T) {
	w := newWorld(t)
	w.git(configMap("env"), deployment("api"))
	w.settle()
	w.git(deployment("api"))
	w.unseen(configMaps, observed.Unwatched, "configmaps is forbidden")
	if kinds := w.plan().Record.Kinds; len(kinds) != 2 {
		t.Errorf("what is left of a kind that cannot be seen would be forgotten: the kinds to watch are %v", kinds)
	}
}

func TestRecordNamesNoKindThatWasNeverSeen(t *testing.T) {
	w := newWorld(t)
	w.unseen(configMaps, observed.Unwatched, "configmaps is forbidden")
	w.git(configMap("env"), deployment("api"))
	w.pass()
	w.git(deployment("api"))
	if p := w.settle(); p.State != plan.Settled {
		t.Errorf("what was never written is missed:\n%s", p)
	}
}

func TestRecordNamesWhatWasSuperseded(t *testing.T) {
	w := newWorld(t)
	w.git(deployment("api"))
	w.settle()
	w.git(deployment("api", version(2)))
	w.pass()
	slow := w.in.Record.Sync
	if slow.Superseded != (plan.Superseded{}) {
		t.Errorf("what had settled was superseded: %+v", slow.Superseded)
	}
	w.git(deployment("api", version(3)))
	w.pass()
	if got, want := w.in.Record.Sync.Superseded, (plan.Superseded{Commit: slow.Commit, Started: slow.Started}); got != want {
		t.Errorf("superseded is %+v, want %+v", got, want)
	}
	w.settle()
	w.git(deployment("api", version(4)))
	if got := w.plan().Record.Sync.Superseded; got != (plan.Superseded{}) {
		t.Errorf("superseded is still %+v", got)
	}
}
