package reconciler

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/plan"
)

// container returns a part of the only container of a Deployment.
func (w *world) container(deployment, part string) any {
	w.t.Helper()
	containers, _, _ := unstructured.NestedSlice(w.look("Deployment/"+deployment).Object, "spec", "template", "spec", "containers")
	return containers[0].(map[string]any)[part]
}

// The API server may refuse an edit and Git's content side by side. Such an edit is reverted like any other, even in
// the pass that brings another commit.
func TestAnEditThatExcludesWhatGitSays(t *testing.T) {
	w := newWorld(t)
	with := func(image string) string {
		return strings.Replace(deployment("api", image), "[{name: api,", "[{name: api, env: [{name: MODE, value: fast}], ports: [{name: http, containerPort: 80}],", 1)
	}
	w.commits("a.yaml", configMap("a", "one"), "api.yaml", with("api:1"))
	w.becomes(plan.Settled)
	edit := `{"spec":{"template":{"spec":{"containers":[{"name":"api","image":"registry.example.com/api:1","env":[{"name":"MODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}],"ports":[{"name":"http","containerPort":90}]}]}}}}`
	isGits := func() bool {
		ports := w.container("api", "ports").([]any)
		env := w.container("api", "env").([]any)[0].(map[string]any)
		return len(ports) == 1 && ports[0].(map[string]any)["containerPort"] == int64(80) && env["value"] == "fast" && env["valueFrom"] == nil
	}
	w.edits("Deployment/api", edit)
	w.passes("the correction", func(o Outcome) bool { return isGits() && o.State() == plan.Settled })

	w.edits("Deployment/api", edit)
	w.commits("api.yaml", with("api:2"))
	w.becomes(plan.Settled)
	if !isGits() || w.container("api", "image") != "registry.example.com/api:2" {
		t.Errorf("the container is %v", w.look("Deployment/api"))
	}
	if sent := w.wire.during("", func() { w.pass() }); len(sent) > 0 {
		t.Errorf("the next pass sent %q", sent)
	}
}

// An edit that cannot be reverted is no reason to refuse a later commit or to roll it back.
func TestAnOlderProblemHoldsUpNoCommit(t *testing.T) {
	w := newWorld(t)
	w.env.Rollback = true
	w.commits("a.yaml", configMap("a", "one"), "b.yaml", configMap("b", "one"))
	w.becomes(plan.Settled)
	w.refuses("configmaps/a")
	w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
	w.becomes(plan.Degraded, "a policy says no")
	commit := w.commits("b.yaml", configMap("b", "two"), "c.yaml", configMap("c", "one"))
	o := w.becomes(plan.Settled)
	if found(o).HealthyCommit != commit || len(found(o).Warnings) != 1 || !strings.Contains(found(o).Warnings[0], "a policy says no") || w.value("b", "v")+w.value("c", "v") != "twoone" || w.value("a", "v") != "by hand" {
		t.Errorf("got %+v", o)
	}
	w.commits("a.yaml", configMap("a", "two"))
	w.becomes(plan.Failed, "a policy says no", "an object of it")

	w.wire.answers(nil)
	w.env.Retry = "please"
	w.becomes(plan.Settled)
	if w.value("a", "v") != "two" {
		t.Error("it was not applied")
	}
}

// refuses adds a policy that refuses every write of an object.
func (w *world) refuses(object string) {
	w.wire.answers(func(r *http.Request) (int, string) {
		if r.Method != http.MethodGet && strings.HasSuffix(r.URL.Path, object) {
			return 403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"a policy says no"}`
		}
		return 0, ""
	})
}

// A refused step is retried when its object changes, without waiting for a timer.
func TestWhatWasRefusedIsTriedAgainWhenItChanges(t *testing.T) {
	w := newWorld(t)
	w.commits("a.yaml", configMap("a", "one"))
	w.becomes(plan.Settled)
	w.refuses("configmaps/a")
	w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
	w.becomes(plan.Degraded, "a policy says no")
	w.wire.answers(nil)
	w.edits("ConfigMap/a", `{"metadata":{"labels":{"allowed":"yes"}}}`)
	for impatient := time.After(patience); w.value("a", "v") != "one"; {
		select {
		case <-w.requeued:
			w.pass()
		case <-impatient:
			t.Fatal("no environment was requeued")
		}
	}
}
