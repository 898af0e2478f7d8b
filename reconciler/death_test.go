package reconciler

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/reconciler/plan"
)

var thorough = flag.Bool("thorough", false, "let the agent die both before and after every write")

// moment is when an agent dies, relative to a write.
type moment string

const (
	unsent     moment = "not sent"
	unanswered moment = "sent, and the answer not seen"
)

var errDead = errors.New("the agent is dead")

// mortal is an agent's connection to the API server. The agent dies at one of its writes.
type mortal struct {
	counts func(write string) bool // says which writes count; nil for all

	mu     sync.Mutex
	at     int // the number of that write, from 1; 0 for an agent that lives
	when   moment
	writes int
	last   string // the write it died of
	dead   bool
	runs   map[string]int // of Jobs, by name and digest
}

func (m *mortal) carry(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	dies, err := m.begins(r)
	if err != nil {
		return nil, err
	}
	creates := createdJob(r)
	answer, err := next.RoundTrip(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && answer.StatusCode == http.StatusCreated && creates != "" {
		m.runs[creates]++
	}
	if dies && err == nil {
		_ = answer.Body.Close()
		m.dead = true
	}
	if m.dead {
		return nil, errDead
	}
	return answer, err
}

// begins counts a request if it changes anything. It reports whether the request is the last; its error says that the
// request is not even sent.
func (m *mortal) begins(r *http.Request) (last bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return false, errDead
	}
	if r.Method == http.MethodGet || r.URL.Query().Has("dryRun") {
		return false, nil
	}
	write := r.Method + " " + r.URL.Path
	if m.counts != nil && !m.counts(write) {
		return false, nil
	}
	if m.writes++; m.writes != m.at {
		return false, nil
	}
	m.last = write
	m.dead = m.when == unsent
	if m.dead {
		return true, errDead
	}
	return true, nil
}

// createdJob returns the name and the digest of the Job that a request creates, if any.
func createdJob(r *http.Request) string {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/jobs") || r.URL.Query().Has("dryRun") || r.GetBody == nil {
		return ""
	}
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(body)
	var job struct{ Metadata metav1.ObjectMeta }
	if err != nil || json.Unmarshal(text, &job) != nil {
		return ""
	}
	return job.Metadata.Name + " " + job.Metadata.Annotations["berth.dev/digest"]
}

// dies lets the agent die once, at a write.
func (m *mortal) dies(at int, when moment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at, m.when, m.writes, m.last = at, when, 0, ""
}

// ran returns how many Jobs of a name were created.
func (m *mortal) ran(name string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for run, times := range m.runs {
		if strings.HasPrefix(run, name+" ") {
			n += times
		}
	}
	return n
}

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// outliving returns an ok for drive that replaces an agent that died.
func (w *world) outliving(m *mortal, ok func(Outcome) bool) func(Outcome) bool {
	return func(o Outcome) bool {
		if !m.isDead() {
			return ok(o)
		}
		w.stop()
		w.stop = func() {}
		m.mu.Lock()
		m.dead = false
		m.mu.Unlock()
		w.restarts()
		requeue(w.requeued)
		return false
	}
}

// everyDeath repeats an action with an agent that dies at its first write, its second, and so on, until it survives. It
// alternates between deaths before and after the write, or tries both with -thorough.
func everyDeath(t *testing.T, w *world, m *mortal, do func(name string)) {
	t.Helper()
	w.wire.carries(m.carry)
	for at := 1; ; at++ {
		moments := []moment{unsent, unanswered}
		if !*thorough {
			moments = moments[at%2:][:1]
		}
		for i, when := range moments {
			m.dies(at, when)
			do(fmt.Sprintf("%d-%d", at, i))
			t.Logf("write %d %s: %s", at, when, m.last)
		}
		if m.last == "" {
			break
		}
	}
	for run, times := range m.runs {
		if times > 1 {
			t.Errorf("%s ran %d times", run, times)
		}
	}
}

// Every commit replaces a Job and a Deployment, runs a Job that leaves nothing, changes one object and drops another.
func TestDeathAtEveryWriteOfASync(t *testing.T) {
	w := newWorld(t)
	w.syncsToDeath()
}

// The same with objects in another cluster than the record. Nothing that protects a Job may depend on both being in one.
func TestDeathAtEveryWriteInAnotherCluster(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, otherCluster(t))
	w.syncsToDeath()
}

// otherCluster is a second cluster, beside the agent's own.
var otherCluster = clustertest.Shared(clustertest.Config{})

// syncsToDeath syncs with an agent that dies at every write.
func (w *world) syncsToDeath() {
	t := w.t
	t.Helper()
	last := "first"
	commits := func(version string) {
		immutable := strings.NewReplacer("app: api", "app: api-"+version, "{name: api}\nspec", "{name: api, annotations: {berth.dev/replace: when-immutable}}\nspec")
		w.commits(
			"job.yaml", job("migrate", "api:"+version),
			"brief.yaml", strings.Replace(job("brief", "api:"+version), "spec:", "spec:\n  ttlSecondsAfterFinished: 0", 1),
			"api.yaml", immutable.Replace(deployment("api", "api:"+version)),
			"stays.yaml", configMap("stays", version),
			"of-"+last+".yaml", "",
			"of-"+version+".yaml", configMap("of-"+version, "one"),
		)
	}
	commits("first")
	w.becomes(plan.Settled)
	m := &mortal{runs: map[string]int{}}
	rounds := 0
	everyDeath(t, w, m, func(version string) {
		commits(version)
		rounds++
		dropped := "ConfigMap/of-" + last
		last = version
		w.passes("the end", w.outliving(m, func(o Outcome) bool {
			return o.State() == plan.Settled && found(o).HealthyCommit == w.env.Commit && w.look(dropped) == nil && w.look("Job/brief") == nil
		}))
		if got := w.value("stays", "v"); got != version {
			t.Errorf("%s: the ConfigMap says %q", version, got)
		}
		if w.look("Job/migrate") == nil || w.look("Deployment/api") == nil || w.look("ConfigMap/of-"+version) == nil {
			t.Errorf("%s: something is missing", version)
		}
	})
	if len(m.runs) != 2*rounds {
		t.Errorf("%d Jobs ran of %d commits, want two of each", len(m.runs), rounds)
	}
}

// A first sync and a full teardown, object by object.
func TestDeathAtEveryWriteOfALife(t *testing.T) {
	w := newWorld(t)
	w.env.Namespace, w.env.SharedNamespace = strings.TrimSuffix(w.env.Namespace, "-env"), true
	w.livesToDeath(nil)
}

// The same with objects in another cluster than the record.
func TestDeathAtEveryWriteOfALifeInAnotherCluster(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, otherCluster(t))
	w.env.Namespace, w.env.SharedNamespace = otherCluster(t).Namespace(t), true
	w.livesToDeath(nil)
}

// The same with a namespace of its own, which takes longer. Everything else is as above.
func TestDeathAtEveryWriteOfANamespace(t *testing.T) {
	w := newWorld(t)
	w.livesToDeath(w.ofNamespace)
}

// The same with a namespace in another cluster than the record.
func TestDeathAtEveryWriteOfANamespaceInAnotherCluster(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, otherCluster(t))
	w.livesToDeath(w.ofNamespace)
}

// ofNamespace reports whether a write is about the environment's namespace, or a deletion.
func (w *world) ofNamespace(write string) bool {
	return strings.HasSuffix(write, "/namespaces/"+w.env.Namespace) || strings.HasPrefix(write, http.MethodDelete)
}

// livesToDeath repeats the life of the environment with an agent that dies at every write that counts; nil: at every write.
func (w *world) livesToDeath(counts func(write string) bool) {
	w.t.Helper()
	m := &mortal{runs: map[string]int{}, counts: counts}
	everyDeath(w.t, w, m, func(version string) { w.lives(m, version) })
}

// Every commit brings a kind and an object of it, and drops the previous commit's object. Berth keeps kinds. The
// garbage collector pauses while a kind is deleted, and other tests would wait for it.
func TestDeathAtEveryWriteOfAKind(t *testing.T) {
	w := newWorld(t)
	w.env.Scope = Cluster
	has := func(group string) bool {
		t.Helper()
		widgets := w.admin.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "widgets"})
		_, err := widgets.Namespace(w.env.Namespace).Get(t.Context(), "one", getOptions)
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	last := ""
	m := &mortal{runs: map[string]int{}}
	everyDeath(t, w, m, func(version string) {
		group := "v" + version + "." + w.env.Namespace
		w.commits("definition.yaml", definition(group), "widget.yaml", "apiVersion: "+group+"/v1\nkind: Widget\nmetadata: {name: one}\n")
		w.passes("the end", w.outliving(m, func(o Outcome) bool {
			return o.State() == plan.Settled && found(o).HealthyCommit == w.env.Commit && (last == "" || !has(last))
		}))
		if !has(group) {
			t.Errorf("%s: the object is not there", version)
		}
		last = group
	})
}

func definition(group string) string {
	return strings.ReplaceAll(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`, "GROUP", group)
}

// lives takes an environment through its life, from the first sync to the teardown.
func (w *world) lives(m *mortal, version string) {
	w.t.Helper()
	w.env.Applied, w.env.Healthy = "", ""
	drop := strings.Replace(job("drop", "api:"+version), "{name: drop}", "{name: drop, annotations: {berth.dev/job: on-removal}}", 1)
	w.commits("job.yaml", job("migrate", "api:"+version), "api.yaml", deployment("api", "api:1"), "a.yaml", configMap("a", version), "drop.yaml", drop)
	w.passes("the beginning", w.outliving(m, func(o Outcome) bool {
		return o.State() == plan.Settled && found(o).HealthyCommit == w.env.Commit
	}))
	w.drive("the end", func() Outcome { return w.Teardown(w.t.Context(), w.env) }, w.outliving(m, func(o Outcome) bool { return gone(o) }))
	if m.ran("drop") != m.ran("migrate") {
		w.t.Errorf("%s: the Job that runs on removal ran %d times in %d lives", version, m.ran("drop"), m.ran("migrate"))
	}
	for _, object := range []string{"Job/migrate", "Job/drop", "Deployment/api", "ConfigMap/a"} {
		if w.look(object) != nil {
			w.t.Errorf("%s: %s was left behind", version, object)
		}
	}
}
