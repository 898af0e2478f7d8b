package reconciler

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/plan"
)

func TestTheFirstSync(t *testing.T) {
	w := newWorld(t)
	commit := w.commits("a.yaml", configMap("a", "one"), "api.yaml", deployment("api", "api:1"), "job.yaml", job("migrate", "api:1"))
	o := w.becomes(plan.Settled)
	if found(o).AppliedCommit != commit || found(o).HealthyCommit != commit || found(o).Total != 4 || found(o).Healthy != 4 {
		t.Errorf("got %+v", o)
	}
	if len(found(o).Jobs) != 1 || found(o).Jobs[0].State != plan.JobSucceeded {
		t.Errorf("Jobs: %+v", found(o).Jobs)
	}
	if w.value("a", "v") != "one" {
		t.Error("the ConfigMap is not there")
	}
}

// A pass sends no request if the environment is as Git says. The same holds for a commit that does not change the
// input. The first pass after a restart only reads the record.
func TestANoOpCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.commits("k8s/a.yaml", configMap("a", "one"), "k8s/job.yaml", job("migrate", "api:1"))
	w.env.Path = "k8s"
	w.becomes(plan.Settled)
	if sent := w.wire.during("", func() { w.pass() }); len(sent) > 0 {
		t.Errorf("a pass sent %q", sent)
	}
	commit := w.commits("README.md", "Read this.\n")
	var o Outcome
	if sent := w.wire.during("", func() { o = w.pass() }); len(sent) > 0 || found(o).HealthyCommit != commit || len(o.Results) > 0 {
		t.Errorf("a pass for another commit sent %q, %+v", sent, o)
	}
	if sent := w.wire.during("", func() { w.restarts(); w.becomes(plan.Settled) }); slices.ContainsFunc(sent, writes) {
		t.Errorf("a restart sent %q", sent)
	}
}

func writes(request string) bool { return !strings.HasPrefix(request, http.MethodGet) }

func TestTheNewestWins(t *testing.T) {
	w := newWorld(t)
	w.commits("api.yaml", deployment("api", "api:broken"))
	w.becomes(plan.Failed, "Deployment/api", "cannot be pulled")
	commit := w.commits("api.yaml", deployment("api", "api:1"))
	if o := w.becomes(plan.Settled); found(o).HealthyCommit != commit {
		t.Errorf("got %+v", o)
	}
}

// While the newest commit does not render, what was applied last is kept and corrected.
func TestAHeadThatDoesNotRender(t *testing.T) {
	w := newWorld(t)
	good := w.commits("a.yaml", configMap("a", "one"), "job.yaml", job("migrate", "api:1"))
	w.becomes(plan.Settled)
	for _, agent := range []struct {
		name string
		do   func()
	}{{"the same agent", func() {}}, {"another agent", w.restarts}} {
		t.Run(agent.name, func(t *testing.T) {
			w.commits("a.yaml", "apiVersion: v1\nkind: [\n")
			agent.do()
			if o := w.becomes(plan.Failed, "a.yaml"); found(o).CommitState != Rejected || found(o).AppliedCommit != "" || w.env.Applied != good {
				t.Errorf("got %+v", o)
			}
			w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
			w.passes("the correction", func(Outcome) bool { return w.value("a", "v") == "one" })
		})
	}
	w.commits("a.yaml", configMap("a", "two"))
	w.becomes(plan.Settled)
	if w.value("a", "v") != "two" {
		t.Error("the mended commit was not applied")
	}
}

// If nothing ever ran, there is nothing to keep.
func TestTheFirstCommitDoesNotRender(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", "kind: ConfigMap\n")
	w.becomes(plan.Failed, "a.yaml")
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
}

// A problem of the entry, such as a missing Secret to copy, leaves what runs as it is. Drift is still corrected.
func TestAProblemOfTheEntry(t *testing.T) {
	w := newWorld(t)
	w.env.Copies = []Copy{{Origin: "Secret berth/pull (copied)", Object: copied(w.env.Namespace)}}
	w.commits("a.yaml", configMap("a", "one"), "job.yaml", job("migrate", "api:1"))
	w.becomes(plan.Settled)
	migration := w.look("Job/migrate").GetUID()
	w.env.Copies, w.env.Problem, w.env.Settings = nil, errTest("the Secret pull is missing"), "{without}"
	for _, agent := range []struct {
		name string
		do   func()
	}{{"another agent", w.restarts}, {"the same agent", func() {}}, {"with a newer commit", func() { w.commits("a.yaml", configMap("a", "two")) }}} {
		t.Run(agent.name, func(t *testing.T) {
			agent.do()
			w.becomes(plan.Failed, "the Secret pull is missing")
			w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
			w.passes("the correction", func(Outcome) bool { return w.value("a", "v") == "one" })
			if w.look("Secret/pull") == nil || w.look("Job/migrate").GetUID() != migration {
				t.Error("something was deleted, or ran again")
			}
		})
	}
	w.env.Copies, w.env.Problem, w.env.Settings = []Copy{{Origin: "Secret berth/pull (copied)", Object: copied(w.env.Namespace)}}, nil, "{}"
	w.becomes(plan.Settled)
	if w.value("a", "v") != "two" {
		t.Error("the newer commit was not applied")
	}
}

// Changes of an entry that also has a problem are not applied. Nothing is corrected then.
func TestAProblemOfAnEntryThatChanged(t *testing.T) {
	w := newWorld(t)
	value := "one"
	w.env.Variables = func(string) map[string]any { return map[string]any{"VALUE": value} }
	w.commits("a.yaml", configMap("a", "'${VALUE}'"))
	w.becomes(plan.Settled)
	value, w.env.Problem, w.env.Settings = "two", errTest("no such field"), "{changed}"
	w.restarts()
	if sent := w.wire.during("", func() { w.becomes(plan.Failed, "no such field") }); containsWrite(sent) {
		t.Errorf("it wrote %q", sent)
	}
}

type errTest string

func (e errTest) Error() string { return string(e) }

// The record holds what cannot be seen. Without it, everything is applied once, and no Job that still exists runs
// again.
func TestTheRecordIsLost(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"), "job.yaml", job("migrate", "api:1"))
	w.becomes(plan.Settled)
	migration := w.look("Job/migrate").GetUID()
	w.losesRecord()
	said := false
	w.passes("what runs to be found", func(o Outcome) bool {
		said = said || found(o).RecordLost
		return !o.Quiet() && !o.Again && o.State() == plan.Settled
	})
	if !said || found(w.pass()).RecordLost {
		t.Errorf("the loss is said: %t, and not for ever", said)
	}
	if w.look("Job/migrate").GetUID() != migration {
		t.Error("the Job ran again")
	}
	if sent := w.wire.during("", func() { w.restarts(); w.becomes(plan.Settled) }); slices.ContainsFunc(sent, writes) {
		t.Errorf("it did not end there: %q", sent)
	}
}

// Another agent wrote the record. The record is read again, and nothing that it protects is done before.
func TestTheRecordIsWrittenByAnother(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	other := newWorldLike(w)
	w.commits("job.yaml", job("migrate", "api:1"))
	other.env.Commit = w.env.Commit
	other.becomes(plan.Settled)
	migration := w.look("Job/migrate").GetUID()
	w.becomes(plan.Settled)
	if w.look("Job/migrate").GetUID() != migration {
		t.Error("the Job ran again")
	}
}

// newWorldLike returns another agent of the same environment, as when two agents believe that they lead.
func newWorldLike(w *world) *world {
	other := *w
	other.stop, other.wire = func() {}, &wire{}
	other.restarts()
	w.t.Cleanup(other.stop)
	return &other
}

func TestAnUnreadableRecord(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	own := strings.TrimSuffix(w.env.Namespace, "-env")
	records := w.admin.Resource(resources["Secret"]).Namespace(own)
	name := "berth-record." + w.env.Name
	obj, err := records.Get(t.Context(), name, getOptions)
	if err != nil {
		t.Fatal(err)
	}
	obj.Object["data"] = map[string]any{"record.json.gz": "bm90aGluZw=="}
	if _, err := records.Update(t.Context(), obj, updateOptions); err != nil {
		t.Fatal(err)
	}
	w.restarts()
	w.becomes(plan.Settled)
}

// The Git server may be unavailable after a restart. Then nothing is known, nothing is reported and nothing is done.
func TestTheStoreIsUnavailable(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	snapshots := w.Snapshots
	w.restarts()
	w.Snapshots = nothing
	if o := w.pass(); !o.Quiet() || o.Err == nil || len(o.Results) > 0 {
		t.Errorf("got %+v", o)
	}
	w.Snapshots = snapshots
	w.becomes(plan.Settled)

	w.Snapshots = nothing
	w.env.Commit = strings.Repeat("1", 40)
	if o := w.passes("an outcome", func(o Outcome) bool { return !o.Quiet() }); o.Err == nil || o.State() != plan.Settled || found(o).HealthyCommit == w.env.Commit {
		t.Errorf("what runs is not judged while the newest commit cannot be fetched: %+v", o)
	}
}

func TestTheAPIServerIsAway(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	w.wire.answers(func(*http.Request) (int, string) { return -1, "" })
	w.commits("a.yaml", configMap("a", "two"))
	o := w.becomes(plan.Going, "ConfigMap/a", "could not be asked")
	w.wire.answers(nil)
	if o.Deadline.IsZero() || o.Deadline.After(w.now().Add(firstPause*2)) {
		t.Errorf("tried again at %s", o.Deadline)
	}
	w.becomes(plan.Settled)

	w.restarts()
	w.wire.answers(func(r *http.Request) (int, string) {
		if strings.Contains(r.URL.Path, "/secrets") {
			return http.StatusServiceUnavailable, ""
		}
		return 0, ""
	})
	if o := w.pass(); !o.Quiet() || o.Err == nil {
		t.Errorf("without its record: %+v", o)
	}
	w.wire.answers(nil)
	w.becomes(plan.Settled)
}

// Refused steps are retried. Temporary errors are retried soon, and then less and less often. Mistakes of the author
// are retried rarely, but at once if Git changes or a user asks.
func TestRefusals(t *testing.T) {
	const forbidden = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"admission webhook says no"}`
	const busy = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"failed calling webhook"}`
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	refuse := func(status int, body string) {
		w.wire.answers(func(r *http.Request) (int, string) {
			if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/configmaps/a") {
				return status, body
			}
			return 0, ""
		})
	}
	refuse(500, busy)
	goOn := w.stopClock()
	pause := func(o Outcome) time.Duration { return o.Deadline.Sub(w.now()) }
	for _, want := range []time.Duration{1, 2, 4, 8} {
		o := w.becomes(plan.Going, "failed calling webhook")
		if got := pause(o); got != want*time.Second {
			t.Errorf("tried again after %s, want %s", got, want*time.Second)
		}
		w.advances(pause(o))
	}
	refuse(403, forbidden)
	m := w.memory(w.env.Name)
	o := w.passes("the first look at what was refused, and a try because of it", func(o Outcome) bool {
		return o.State() == plan.Failed && m.barred[w.key("ConfigMap/a")].n > 0 && pause(o) > 0
	})
	if !holds(found(o).Message, []string{"a.yaml:1: ConfigMap/", "admission webhook says no"}) {
		t.Errorf("it says %q", found(o).Message)
	}
	if w.pass(); len(w.wire.during("configmaps/a", func() { w.pass() })) > 0 {
		t.Error("it was tried again without a pause")
	}
	w.wire.answers(nil)
	if pause(o) < 10*time.Second {
		t.Errorf("it is tried again after %s", pause(o))
	}
	goOn()
	w.env.Retry = "now"
	w.becomes(plan.Settled)

	refuse(403, forbidden)
	w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
	w.becomes(plan.Degraded, "a.yaml:1: ConfigMap/")
	if len(m.refusals) != 1 {
		t.Fatalf("refusals: %v", m.refusals)
	}
	w.commits("a.yaml", "", "b.yaml", configMap("b", "one"))
	w.becomes(plan.Settled)
	if len(m.refusals)+len(m.tries)+len(m.barred) > 0 {
		t.Errorf("what is gone is remembered: %v %v %v", m.refusals, m.tries, m.barred)
	}
}

func TestADeletionIsRefused(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"), "b.yaml", configMap("b", "one"))
	w.becomes(plan.Settled)
	w.wire.answers(func(r *http.Request) (int, string) {
		if r.Method == http.MethodDelete {
			return 403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"b stays"}`
		}
		return 0, ""
	})
	w.commits("b.yaml", "")
	o := w.becomes(plan.Settled)
	if len(found(o).Warnings) != 1 || !holds(found(o).Warnings[0], []string{"cannot delete ConfigMap/b", "b stays"}) {
		t.Errorf("the warnings are %q", found(o).Warnings)
	}
	w.wire.answers(nil)
	w.advances(o.Deadline.Sub(w.now()))
	w.passes("the deletion", func(Outcome) bool { return w.look("ConfigMap/b") == nil })
}

func TestSuspended(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	w.env.Suspended = true
	w.commits("a.yaml", configMap("a", "two"))
	if o := w.becomes(plan.Waiting); w.value("a", "v") != "one" {
		t.Errorf("got %+v", o)
	}
	w.env.Suspended = false
	w.becomes(plan.Settled)
}

// A teardown takes one step at a time. In the end, nothing of the environment or its record is left, nor anything in
// memory.
func TestTeardown(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"), "api.yaml", deployment("api", "api:1"))
	w.becomes(plan.Settled)
	teardown := func() Outcome { return w.Teardown(t.Context(), w.env) }
	w.drive("the end", teardown, func(o Outcome) bool {
		if !isTornDown(o) && !o.Quiet() {
			t.Errorf("got %+v", o)
		}
		return gone(o)
	})
	if w.look("Namespace/"+w.env.Namespace) != nil {
		t.Error("the namespace is still there")
	}
	if len(w.memories) > 0 {
		t.Errorf("remembered: %v", w.memories)
	}
	if o := teardown(); !gone(o) && !o.Quiet() {
		t.Errorf("a teardown of nothing: %+v", o)
	}
	if record, err := w.Records.Load(t.Context(), w.env.Name); err != nil || !record.Equal(plan.Record{}) {
		t.Errorf("the record is %+v, %v", record, err)
	}
}

// If the namespace is not Berth's own, a teardown finds all objects even without the record.
func TestTeardownWithoutTheRecord(t *testing.T) {
	for name, lose := range map[string]func(*world){
		"lost":       (*world).losesRecord,
		"unreadable": (*world).spoilsRecord,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.env.Namespace, w.env.SharedNamespace = strings.TrimSuffix(w.env.Namespace, "-env"), true
			w.commits("a.yaml", configMap("a", "one"), "api.yaml", deployment("api", "api:1"))
			w.becomes(plan.Settled)
			lose(w)
			w.drive("the end", func() Outcome { return w.Teardown(t.Context(), w.env) }, func(o Outcome) bool {
				if o.Err != nil {
					t.Errorf("it failed: %v", o.Err)
				}
				return gone(o)
			})
			if w.look("ConfigMap/a") != nil || w.look("Deployment/api") != nil {
				t.Error("something was left behind")
			}
		})
	}
}

// Forgetting leaves the cluster alone, and a later pass finds everything.
func TestForget(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	w.Forget(w.env)
	if w.value("a", "v") != "one" || len(w.memories) > 0 {
		t.Error("forgetting did more, or less")
	}
	if sent := w.wire.during("", func() { w.becomes(plan.Settled) }); slices.ContainsFunc(sent, writes) {
		t.Errorf("it was written: %q", sent)
	}
}

func TestPauses(t *testing.T) {
	for _, test := range []struct {
		class apply.Class
		n     int
		fatal bool
		pause time.Duration
	}{
		{apply.Conflict, 0, false, 50 * time.Millisecond},
		{apply.Skipped, 2, false, 200 * time.Millisecond},
		{apply.Transient, 0, false, time.Second},
		{apply.Transient, 3, false, 8 * time.Second},
		{apply.Transient, 50, false, time.Minute},
		{apply.Unanswered, 0, false, 5 * time.Second},
		{apply.Unanswered, 50, false, time.Minute},
		{apply.Terminating, 0, false, time.Second},
		{apply.Exists, 1, false, 2 * time.Second},
		{apply.Taken, 1, false, fatalPause},
		{apply.Quota, 0, true, 10 * time.Second},
		{apply.Forbidden, 9, true, liftedPause},
		{apply.Denied, 0, true, 10 * time.Second},
		{apply.Denied, 9, true, liftedPause},
		{apply.NotServed, 1, true, 20 * time.Second},
		{apply.Invalid, 0, true, 5 * time.Minute},
		{apply.Immutable, 7, true, 5 * time.Minute},
	} {
		if fatal, pause := pauseAfter(test.class, test.n); fatal != test.fatal || pause != test.pause {
			t.Errorf("%s %d: got %t %s, want %t %s", test.class, test.n, fatal, pause, test.fatal, test.pause)
		}
	}
}

// kubectl shows only the first line of a message.
func TestAllProblemsOfACommitAreOneLine(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", "kind: [", "b.yaml", "kind: [")
	if o := w.becomes(plan.Failed, "a.yaml:1", "; b.yaml:1"); strings.Contains(found(o).Message, "\n") {
		t.Errorf("got %q", found(o).Message)
	}
}
