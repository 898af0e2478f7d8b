package reconciler

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/source"
)

// typo returns a manifest with an error that only the API server knows.
func typo(name string) string {
	return strings.Replace(configMap(name, "two"), "\ndata:", "\ndtaa:", 1)
}

// If something runs, a wrong file never causes half a deployment. Everything is validated before the first write, and
// every problem is reported. What runs is kept, and its drift is corrected.
func TestValidationComesFirst(t *testing.T) {
	w := newWorld(t)
	good := w.commits("a.yaml", configMap("a", "one"), "b.yaml", configMap("b", "one"), "api.yaml", deployment("api", "api:1"))
	w.becomes(plan.Settled)

	w.commits("a.yaml", configMap("a", "two"), "b.yaml", typo("b"), "c.yaml", typo("c"))
	var o Outcome
	sent := w.wire.during("", func() { o = w.becomes(plan.Failed, "2 objects", "b.yaml:1", "ConfigMap/", "c.yaml:1") })
	for _, request := range sent {
		if writes(request) && !strings.Contains(request, "dryRun=All") {
			t.Errorf("it was written: %s", request)
		}
	}
	if found(o).CommitState != Rejected || len(found(o).Unhealthy) != 2 || o.Deadline.IsZero() || w.env.Applied != good {
		t.Errorf("got %+v", o)
	}
	w.passes("nothing is tried again, once what was refused has been looked at", func(Outcome) bool {
		return len(w.wire.during("", func() { w.pass() })) == 0
	})
	w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
	w.passes("the correction of what runs", func(Outcome) bool { return w.value("a", "v") == "one" })

	w.restarts()
	w.becomes(plan.Failed, "2 objects")
	w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
	w.passes("the correction after a restart", func(Outcome) bool { return w.value("a", "v") == "one" })

	w.commits("b.yaml", configMap("b", "two"), "c.yaml", configMap("c", "two"))
	tried := w.wire.during("dryRun=All", func() { w.becomes(plan.Settled) })
	if len(tried) != 3 { // no second attempt for stale defaults, which ConfigMaps do not have
		t.Errorf("tried %q, want the three that changed, once", tried)
	}
	if w.value("a", "v")+w.value("c", "v") != "twotwo" {
		t.Error("the mended commit was not applied")
	}
}

// Objects that wait for a wave are validated too, and so is a Job while another run of it exists.
func TestValidationLooksBehindTheGates(t *testing.T) {
	w := newWorld(t)
	w.commits("job.yaml", job("migrate", "api:1"), "api.yaml", deployment("api", "api:1"))
	w.becomes(plan.Settled)
	migration := w.look("Job/migrate").GetUID()
	w.commits("job.yaml", job("migrate", "api:2"), "api.yaml", strings.Replace(deployment("api", "api:2"), "selector:", "slector:", 1))
	w.becomes(plan.Failed, "an object of it", "api.yaml:2", "slector")
	if w.look("Job/migrate").GetUID() != migration {
		t.Error("the migration ran for a commit that was refused")
	}
	w.commits("api.yaml", deployment("api", "api:2"))
	w.becomes(plan.Settled)
	if w.look("Job/migrate").GetUID() == migration {
		t.Error("the migration did not run for the mended commit")
	}
}

// A first sync has nothing to lose, so everything that can be applied is applied.
func TestAFirstSyncIsNotValidated(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"), "b.yaml", typo("b"))
	tried := w.wire.during("dryRun=All", func() { w.becomes(plan.Failed, "b.yaml:1") })
	if len(tried) > 0 || w.value("a", "v") != "one" {
		t.Errorf("tried %q; a is %q", tried, w.value("a", "v"))
	}
}

// The obstacles to a commit may end without a new commit. This is detected after a while, and at once if a user asks.
func TestWhatWasRefusedIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	refuse := func() {
		w.wire.answers(func(r *http.Request) (int, string) {
			if r.URL.Query().Get("dryRun") != "" {
				return 403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"a policy says no"}`
			}
			return 0, ""
		})
	}
	refuse()
	goOn := w.stopClock()
	w.commits("a.yaml", configMap("a", "two"))
	o := w.becomes(plan.Failed, "a policy says no")
	w.advances(o.Deadline.Sub(w.now()))
	longer := w.becomes(plan.Failed, "a policy says no")
	if longer.Deadline.Sub(w.now()) <= 10e9 {
		t.Errorf("it is looked at after %s again", longer.Deadline.Sub(w.now()))
	}
	goOn()
	w.wire.answers(nil)
	w.advances(longer.Deadline.Sub(w.now()))
	w.becomes(plan.Settled)

	refuse()
	w.commits("a.yaml", configMap("a", "three"))
	w.becomes(plan.Failed, "a policy says no")
	w.wire.answers(nil)
	w.env.Retry = "please"
	w.becomes(plan.Settled)
	if w.value("a", "v") != "three" {
		t.Error("it was not applied")
	}
}

// rolls returns a world in which something healthy runs and failures are rolled back.
func rolls(t *testing.T) (w *world, healthy string) {
	w = newWorld(t)
	w.env.Rollback = true
	healthy = w.commits("a.yaml", configMap("a", "one"), "api.yaml", deployment("api", "api:1"), "job.yaml", job("migrate", "api:1"))
	w.becomes(plan.Settled)
	return w, healthy
}

// rolledBack makes passes until the last healthy commit runs in place of the newest.
func (w *world) rolledBack(healthy string) Outcome {
	w.t.Helper()
	o := w.passes("the rollback", func(o Outcome) bool {
		return !o.Quiet() && !o.Again && found(o).CommitState == RolledBack && o.State() == plan.Settled
	})
	if !holds(found(o).Message, []string{w.env.Commit[:8], healthy[:8], "Deployment/api", "cannot be pulled", "berth retry " + w.env.Name}) {
		w.t.Errorf("the message is %q", found(o).Message)
	}
	if found(o).AppliedCommit != healthy || found(o).HealthyCommit != healthy || found(o).Commit != w.env.Commit {
		w.t.Errorf("got %+v", o)
	}
	return o
}

func TestRollback(t *testing.T) {
	w, healthy := rolls(t)
	w.commits("a.yaml", configMap("a", "two"), "api.yaml", deployment("api", "api:broken"), "job.yaml", job("migrate", "api:2"), "new.yaml", configMap("new", "one"))
	failed := w.becomes(plan.Failed, "Deployment/api", "cannot be pulled")
	if found(failed).CommitState == RolledBack || failed.Again {
		t.Errorf("the failure itself is not told: %+v", failed)
	}
	migration := w.look("Job/migrate").GetUID()
	w.rolledBack(healthy)
	if w.value("a", "v") != "one" || w.look("ConfigMap/new") != nil {
		t.Error("not everything was taken back")
	}
	if w.look("Job/migrate").GetUID() != migration {
		t.Error("a Job of the healthy commit ran again")
	}

	t.Run("it holds", func(t *testing.T) {
		if sent := w.wire.during("", func() { w.pass() }); len(sent) > 0 {
			t.Errorf("a pass sent %q", sent)
		}
		w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
		w.passes("the correction", func(Outcome) bool { return w.value("a", "v") == "one" })
		w.restarts()
		if sent := w.wire.during("", func() { w.rolledBack(healthy) }); containsWrite(sent) {
			t.Errorf("a restart wrote %q", sent)
		}
		w.commits("README.md", "The input is the same.\n")
		w.rolledBack(healthy)
	})
	t.Run("a user requests it", func(t *testing.T) {
		w.env.Retry = "again"
		w.becomes(plan.Failed, "Deployment/api")
		if w.value("a", "v") != "two" {
			t.Error("it was not tried")
		}
		if w.look("Job/migrate").GetUID() != migration {
			t.Error("a Job that had run for it ran again")
		}
		w.rolledBack(healthy)
	})
	t.Run("a fix", func(t *testing.T) {
		fix := w.commits("api.yaml", deployment("api", "api:2"))
		if o := w.becomes(plan.Settled); found(o).CommitState == RolledBack || found(o).HealthyCommit != fix {
			t.Errorf("got %+v", o)
		}
		if record, _ := w.Records.Load(t.Context(), w.env.Name); record.Rejected != (plan.Rejected{}) {
			t.Errorf("still rejected: %+v", record.Rejected)
		}
	})
}

// A restarted agent that cannot fetch the last healthy commit keeps what runs. It does not apply the unhealthy commit
// again.
func TestRollbackWhereTheHealthyCommitCannotBeHad(t *testing.T) {
	w, healthy := rolls(t)
	bad := w.commits("a.yaml", configMap("a", "two"), "api.yaml", deployment("api", "api:broken"))
	w.becomes(plan.Failed, "Deployment/api")
	w.rolledBack(healthy)
	server := error(&source.Error{Reason: source.Unreachable, Op: "fetch", Cause: "no answer"})
	lost := func() {
		w.restarts()
		whole := w.Snapshots
		w.Snapshots = func(ctx context.Context, repository, commit string) (*source.Snapshot, error) {
			if commit == healthy && server != nil {
				return nil, server
			}
			return whole(ctx, repository, commit)
		}
	}
	lost()
	if sent := w.wire.during("", func() {
		if o := w.pass(); !o.Quiet() || !passes(o.Err) {
			t.Errorf("the server is down: got %+v", o)
		}
	}); containsWrite(sent) {
		t.Errorf("it wrote %q", sent)
	}
	server = &source.Error{Reason: source.Refused, Op: "fetch", Cause: "not our ref"}
	var o Outcome
	if sent := w.wire.during("", func() { o = w.becomes(plan.Failed, bad[:8], healthy[:8], "not our ref", "berth retry "+w.env.Name) }); containsWrite(sent) {
		t.Errorf("it wrote %q", sent)
	}
	if w.value("a", "v") != "one" || o.Deadline.IsZero() || w.env.Applied != healthy {
		t.Errorf("a is %q; got %+v", w.value("a", "v"), o)
	}
	server = nil
	w.advances(2 * fatalPause)
	w.rolledBack(healthy)
}

func containsWrite(sent []string) bool {
	for _, request := range sent {
		if writes(request) {
			return true
		}
	}
	return false
}

// A corrected key or variable makes another input.
func TestARejectedInputChanges(t *testing.T) {
	w, healthy := rolls(t)
	image := "api:broken"
	w.env.Variables = func(string) map[string]any { return map[string]any{"IMAGE": image} }
	w.commits("api.yaml", deployment("api", "${IMAGE}"))
	w.becomes(plan.Failed)
	w.rolledBack(healthy)
	image = "api:2"
	w.env.Settings = `{"variables":{"IMAGE":"api:2"}}`
	if o := w.becomes(plan.Settled); found(o).CommitState == RolledBack {
		t.Errorf("got %+v", o)
	}
}

// A failed commit stays if the entry asks for no rollback, or if there is nothing to return to.
func TestNoRollback(t *testing.T) {
	for _, test := range []struct {
		name  string
		begin func(*world)
	}{
		{"Hold", func(w *world) {
			w.commits("api.yaml", deployment("api", "api:1"))
			w.becomes(plan.Settled)
			w.commits("api.yaml", deployment("api", "api:broken"))
		}},
		{"the first commit", func(w *world) {
			w.env.Rollback = true
			w.commits("api.yaml", deployment("api", "api:broken"))
		}},
		{"the same commit with other settings", func(w *world) {
			w.env.Rollback = true
			image := "api:1"
			w.env.Variables = func(string) map[string]any { return map[string]any{"IMAGE": image} }
			w.commits("api.yaml", deployment("api", "${IMAGE}"))
			w.becomes(plan.Settled)
			image, w.env.Settings = "api:broken", "{broken}"
		}},
		{"another commit says the same", func(w *world) {
			w.env.Rollback, w.env.Path = true, "k8s"
			image := "api:1"
			w.env.Variables = func(string) map[string]any { return map[string]any{"IMAGE": image} }
			w.commits("k8s/api.yaml", deployment("api", "${IMAGE}"))
			w.becomes(plan.Settled)
			w.commits("README.md", "other\n")
			image, w.env.Settings = "api:broken", "{broken}"
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.begin(w)
			w.becomes(plan.Failed, "Deployment/api")
			o := w.pass()
			for o.Again || !o.Deadline.IsZero() && !o.Deadline.After(w.now()) {
				o = w.pass()
			}
			if found(o).CommitState == RolledBack || o.State() != plan.Failed {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// A failure after the gate is left to users: the commit was healthy, and another one may not be.
func TestDegradedIsNotTakenBack(t *testing.T) {
	w, _ := rolls(t)
	w.commits("a.yaml", configMap("a", "two"))
	w.becomes(plan.Settled)
	w.edits("Namespace/"+w.env.Namespace, `{"metadata":{"annotations":{"x":"y"}}}`)
	w.wire.answers(func(r *http.Request) (int, string) {
		if r.Method == http.MethodPatch {
			return 403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no more"}`
		}
		return 0, ""
	})
	w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
	if o := w.becomes(plan.Degraded); found(o).CommitState == RolledBack {
		t.Errorf("got %+v", o)
	}
	w.wire.answers(nil)
}
