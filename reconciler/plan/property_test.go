package plan_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// TestAnyOrderOfEvents lets the agent, controllers, users and failures act in any order. When they stop, the cluster
// becomes what Git says and needs nothing more. No Job has run more often than it should, and no foreign object was
// changed. The test fails at once where an API server would refuse a write, or where Berth does what it must never do.
// Every plan is checked to change nothing in its input.
func TestAnyOrderOfEvents(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt)
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			name := rapid.SampledFrom(h.names).Draw(rt, "event")
			h.events[name]()
			h.countRuns()
		}
		h.calm()
		h.mustBeWhatGitSays()
	})
}

// TestSettledCostsNothing checks that a plan after a first sync has no steps to carry out, whatever Git says.
func TestSettledCostsNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt)
		h.commit()
		h.settle()
		for _, s := range h.plan().Steps {
			if s.Action != plan.Keep || !s.Healthy() {
				rt.Fatalf("%s: nothing was left to do", s)
			}
		}
		before := h.in.Record
		if h.pass(); !h.in.Record.Equal(before) {
			rt.Fatalf("a pass without a reason wrote the record")
		}
	})
}

// TestTeardownEnds checks that a teardown leaves nothing of ours but data, whatever happened before. It changes no
// foreign object.
func TestTeardownEnds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt)
		for range rapid.IntRange(1, 30).Draw(rt, "events") {
			h.events[rapid.SampledFrom(h.names).Draw(rt, "event")]()
		}
		clear(h.refuses)
		clear(h.in.Refusals)
		h.tearDown()
		for key, live := range h.objects {
			if live.Environment == ours && !live.Controlled && !bearsData(key) {
				rt.Fatalf("%s is left", key)
			}
		}
		if _, there := h.find("ConfigMap/theirs"); there != h.in.Namespace.Shared {
			rt.Fatalf("what is another environment's went with what is ours, or outlived its namespace")
		}
	})
}

func bearsData(key manifest.Key) bool {
	return key.Kind == "PersistentVolumeClaim" || key.Kind == "CustomResourceDefinition"
}

// history is a world in which anything happens.
type history struct {
	*world
	rt     *rapid.T
	events map[string]func()
	names  []string // of the events, in order
	// job is the digest of the Job in Git; mayRun is how often each digest may have run by now.
	job    string
	mayRun map[string]int
}

func newHistory(rt *rapid.T) *history {
	h := &history{world: newWorld(rt), rt: rt, mayRun: map[string]int{}}
	if rapid.Bool().Draw(rt, "with an account") {
		equipped(h.world)
	}
	h.events = map[string]func(){
		"commit":      h.commit,
		"pass":        func() { h.pass() },
		"pass again":  func() { h.pass() },
		"crash":       func() { h.crash(rapid.IntRange(0, 4).Draw(rt, "steps")) },
		"lose record": h.loseRecord,
		"finish":      h.finishOne,
		"finish more": h.finishOne,
		"fail":        h.failOne,
		"disturb":     func() { h.someone(h.disturb, "Job") },
		"add": func() {
			h.someone(func(short string) { h.add(short, "kubectl-edit", "data.EXTRA") }, "Job", "Namespace")
		},
		"scale": func() {
			h.someone(func(short string) { h.scale(short, "keda") }, "Job", "Namespace", "ConfigMap", "PersistentVolumeClaim", "CustomResourceDefinition", "Widget")
		},
		"fix": func() {
			h.someone(func(short string) {
				live, _ := h.find(short)
				h.refuses[live.Key] = plan.Refusal{Message: "is immutable", Fatal: true, Immutable: true}
			}, "Job", "Namespace")
		},
		"strip":   h.stripOne,
		"remove":  h.removeOne,
		"refuse":  h.refuseOne,
		"allow":   func() { clear(h.refuses) },
		"suspend": func() { h.in.Suspended = !h.in.Suspended },
		"retry":   h.retry,
		"time":    func() { h.after(time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds")) * time.Second) },
	}
	h.names = slices.Sorted(maps.Keys(h.events))
	owner := ours
	if h.in.Namespace.Shared = rapid.Bool().Draw(rt, "shared"); h.in.Namespace.Shared {
		owner = ""
	}
	h.write(h.in.Namespace.Object, owner)
	h.write(configMap("nobodys"), "")
	h.write(configMap("theirs"), theirs)
	h.write(configMap("controlled"), ours)
	h.change("ConfigMap/controlled", func(l *observed.Object) { l.Controlled = true })
	h.commit()
	return h
}

// commit commits arbitrary manifests.
func (h *history) commit() {
	var objects []manifest.Object
	for _, name := range []string{"a", "b", "c"} {
		edits := []edit{replicas(2)}
		if v := h.oneOf("configmap", 3); v > 0 {
			objects = append(objects, configMap(name, version(int64(v))))
			if h.oneOf("needs", 2) > 0 {
				edits = append(edits, needs("ConfigMap/"+name))
			}
		}
		if v := h.oneOf("deployment", 3); v > 0 {
			if how := h.oneOf("replace", 3); how > 0 {
				edits = append(edits, annotated(manifest.AnnotationReplace, []string{"", "when-immutable", "orphan"}[how]))
			}
			objects = append(objects, deployment(name, append(edits, version(int64(v)), wave(h.oneOf("wave", 2)))...))
		}
	}
	if h.oneOf("claim", 2) > 0 {
		objects = append(objects, pvc("data"))
	}
	if h.oneOf("widget", 2) > 0 {
		objects = append(objects, widgets(), widget("one"))
	}
	if h.oneOf("job", 4) > 0 {
		kinds := []edit{runs("app:1"), ttl(0), terminate, everyCommit, once}
		objects = append(objects, job("migrate", runs([]string{"app:1", "app:2"}[h.oneOf("program", 2)]), kinds[h.oneOf("kind", len(kinds))]))
	}
	h.git(objects...)
	h.noteJob()
}

func (h *history) oneOf(what string, n int) int { return rapid.IntRange(0, n-1).Draw(h.rt, what) }

// noteJob allows a run for the Job that Git has now, unless it was the same before.
func (h *history) noteJob() {
	digest := ""
	for _, o := range h.in.Desired.Objects {
		if digest = o.Digest; !manifest.IsJob(o.GroupVersionKind().GroupKind()) {
			digest = ""
			continue
		}
		if o.GetAnnotations()[manifest.AnnotationJob] == "every-commit" {
			digest += "@" + h.in.Commit
		}
		break
	}
	if digest != h.job {
		h.mayRun[digest]++
	}
	if h.job = digest; h.in.Retry {
		h.mayRun[digest]++
	}
}

func (h *history) countRuns() {
	for digest, n := range h.created {
		if n > h.mayRun[digest] {
			h.rt.Fatalf("the Job with the digest %s ran %d times, and should at most %d times", digest, n, h.mayRun[digest])
		}
	}
}

func (h *history) loseRecord() {
	h.in.Record = plan.Record{}
	h.mayRun[h.job]++
}

func (h *history) retry() {
	h.in.Retry = true
	h.mayRun[h.job]++
}

// someone performs an action on any of our objects that is not being deleted, except some kinds.
func (h *history) someone(do func(short string), except ...string) {
	var there []string
	for key, live := range h.objects {
		if live.Environment == ours && !live.Controlled && !live.Deleting && !slices.Contains(except, key.Kind) {
			there = append(there, key.Short())
		}
	}
	if slices.Sort(there); len(there) > 0 {
		do(rapid.SampledFrom(there).Draw(h.rt, "object"))
	}
}

// unseenRun allows another run when another client hides a run that the agent has not seen yet. The agent cannot know
// of it.
func (h *history) unseenRun(short string) {
	if live, _ := h.find(short); live.Job != nil && h.in.Record.Jobs[live.Key].UID != live.UID {
		h.mayRun[live.Digest]++
	}
}

func (h *history) stripOne() {
	h.someone(func(short string) {
		h.unseenRun(short)
		h.strip(short)
	}, "Namespace")
}

func (h *history) removeOne() {
	h.someone(func(short string) {
		for _, run := range []string{short, "Job/migrate"} {
			if run == short || short == "Namespace/posts" {
				h.unseenRun(run)
			}
		}
		if short == "Namespace/posts" {
			h.mayRun[h.job]++ // the effects of its runs are gone
		}
		h.remove(short)
	})
}

func (h *history) finishOne() {
	if busy := h.busy(); len(busy) > 0 {
		h.finish(rapid.SampledFrom(busy).Draw(h.rt, "busy"))
	}
}

func (h *history) failOne() {
	h.someone(func(short string) {
		if live, _ := h.find(short); live.Job == nil || !live.Job.Finished {
			h.fails(short, "went wrong")
		}
	}, "Namespace", "ConfigMap", "PersistentVolumeClaim", "CustomResourceDefinition", "Widget")
}

func (h *history) refuseOne() {
	if n := h.in.Desired.Len(); n > 0 {
		h.refuses[h.in.Desired.Objects[h.oneOf("refused", n)].Key()] = plan.Refusal{Message: "no", Fatal: h.oneOf("fatal", 2) > 0}
	}
}

// tearDown carries out teardowns until one finds nothing left.
func (h *history) tearDown() {
	for range 20 {
		p := h.teardown()
		for _, s := range p.Ready() {
			h.carryOut(s)
		}
		for _, short := range h.busy() {
			if live, there := h.find(short); there && live.Deleting {
				h.finish(short)
			}
		}
		if p.State == plan.Settled {
			return
		}
	}
	h.rt.Fatalf("the teardown does not end")
}

// calm ends all failures, and lets the agent and the controllers finish.
func (h *history) calm() {
	clear(h.refuses)
	h.in.Suspended = false
	for key, live := range h.objects {
		if live.Job == nil && live.Health.Status == health.Failed {
			h.becomes(key.Short(), health.Progressing, "mended")
		}
	}
	for range 3 {
		h.after(time.Hour)
		h.settle()
		h.countRuns()
		h.retry()
		h.confirms()
	}
	h.in.Retry = false
}

func (h *history) mustBeWhatGitSays() {
	p := h.plan()
	if p.State != plan.Settled || !p.Applied || len(p.Ready()) > 0 {
		h.rt.Fatalf("left alone, it does not become what Git says:\n%s", p)
	}
	want := map[manifest.Key]string{}
	if !h.in.Namespace.Shared {
		want[h.in.Namespace.Object.Key()] = h.in.Namespace.Object.Digest
	}
	for _, o := range slices.Concat(h.in.Own, h.in.Desired.Objects) {
		if key := o.Key(); !manifest.IsJob(key.GroupKind()) {
			want[key] = o.Digest
		} else if run := p.Record.Jobs[key]; !run.Ever {
			h.rt.Fatalf("%s has never run: %+v", key, run)
		}
	}
	got := map[manifest.Key]string{}
	for key, live := range h.objects {
		_, wanted := want[key]
		if live.Environment == ours && !live.Controlled && live.Job == nil && (wanted || !bearsData(key)) {
			got[key] = live.Digest
		}
		if wanted && live.Ownership != p.Record.Applied[key].Ownership {
			h.rt.Fatalf("%s was left as another client made it", key)
		}
		if wanted && live.Added != nil {
			h.rt.Fatalf("%s was left with what a user added", key)
		}
	}
	if !maps.Equal(got, want) {
		h.rt.Fatalf("the cluster has\n%v\n\nand Git says\n%v", got, want)
	}
}
