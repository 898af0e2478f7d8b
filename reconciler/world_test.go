package reconciler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/records"
	"berth.dev/berth/source"
)

var cluster = clustertest.Shared(clustertest.Config{})

// patience is much longer than anything here takes on a loaded machine.
const patience = 3 * time.Minute

// world is one environment of a Git repository, and an agent that reconciles it, on a real control plane.
type world struct {
	*Reconciler
	t     *testing.T
	wire  *wire
	in    *clustertest.Cluster // where it runs; the record is at home
	admin dynamic.Interface    // for users' changes
	git   *gittest.Repository
	// env is the agent's input. The world keeps the reported values in it up to date.
	env      Environment
	own      string // the agent's namespace
	requeued chan struct{}
	clock    *clock
	store    *source.Repository
	stop     func()
}

// newWorld returns a world whose branch is still empty.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newWorldIn(t, cluster(t))
}

// newWorldIn returns a world whose environment runs in a cluster, which may be another one than the agent's.
func newWorldIn(t *testing.T, c *clustertest.Cluster) *world {
	t.Helper()
	own := cluster(t).Namespace(t)
	w := &world{t: t, in: c, wire: &wire{}, clock: &clock{}, admin: must(dynamic.NewForConfig(c.RESTConfig())), git: gittest.NewServer(t).Repository("posts"), stop: func() {}}
	w.store = must(source.Open(source.Config{Dir: t.TempDir(), URL: w.git.URL()}))
	t.Cleanup(func() { w.store.Close() })
	w.env = Environment{
		Name: "posts.review." + own, ID: "a1b2c3." + own, Repository: "posts", Entry: "review", Branch: "main",
		Path: ".", Namespace: own + "-env", Settings: "{}", Timeout: time.Minute, ImagePullGrace: time.Millisecond,
		Variables: noVariables,
	}
	w.own = own
	w.starts(own)
	t.Cleanup(func() { w.stop() })
	return w
}

// starts starts an agent that knows only what Git and the cluster say.
func (w *world) starts(namespace string) {
	w.t.Helper()
	w.stop()
	home, config, name := cluster(w.t).RESTConfig(), w.in.RESTConfig(), ""
	home.Wrap(w.wire.wrap)
	config.Wrap(w.wire.wrap)
	if w.in != cluster(w.t) {
		name = "other"
	}
	mapper := must(apiutil.NewDynamicRESTMapper(config, must(rest.HTTPClientFor(config))))
	requeued := make(chan struct{}, 1) // a channel of its own, because the watches of the previous agent may still deliver a requeue
	w.requeued = requeued
	dynamics, schemas := must(dynamic.NewForConfig(config)), must(discovery.NewDiscoveryClientForConfig(config)).OpenAPIV3()
	watches := live.New(live.Config{Dynamic: dynamics, Metadata: must(metadata.NewForConfig(metadata.ConfigFor(config))), Mapper: mapper, Requeue: func(string) { requeue(requeued) }})
	w.Reconciler = New(Config{
		Snapshots: storeOf(w.store),
		Cluster: &clusters.Cluster{
			Name: name, Identity: types.UID(name),
			Watches:       watches,
			Applier:       apply.New(apply.Config{Dynamic: dynamics, Mapper: mapper, OpenAPI: schemas, Now: w.now}),
			ClusterScoped: func(schema.GroupKind) (bool, error) { return false, nil },
			CoreAs: func(string) (typedcorev1.CoreV1Interface, error) {
				return must(kubernetes.NewForConfig(config)).CoreV1(), nil
			},
		},
		Records:        records.New(must(kubernetes.NewForConfig(home)).CoreV1(), namespace),
		RenderPatience: patience,
		Requeue:        func(string) { requeue(requeued) },
		DigestKey:      []byte("key"),
		Now:            w.now,
		Jitter:         func() float64 { return 0 },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- watches.Run(ctx) }()
	w.stop = func() { cancel(); <-ended }
}

// storeOf returns Snapshots that read commits from a store, whatever the repository is called.
func storeOf(store *source.Repository) Snapshots {
	return func(ctx context.Context, _, commit string) (*source.Snapshot, error) {
		return store.Snapshot(ctx, commit)
	}
}

func noVariables(string) map[string]any { return nil }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// clock is the agent's clock. Goroutines of what the world consists of may use it.
type clock struct {
	ahead   atomic.Int64 // nanoseconds before the real clock
	stopped atomic.Pointer[time.Time]
}

func (w *world) now() time.Time {
	now := time.Now()
	if at := w.clock.stopped.Load(); at != nil {
		now = *at
	}
	return now.Add(time.Duration(w.clock.ahead.Load()))
}

func (w *world) advances(d time.Duration) { w.clock.ahead.Add(int64(d)) }

// stopClock stops the clock, except for advances, until goOn is called. So a test can compare times, however slow the machine is.
func (w *world) stopClock() (goOn func()) {
	now := time.Now()
	w.clock.stopped.Store(&now)
	return func() { w.clock.stopped.Store(nil) }
}

func requeue(requeued chan<- struct{}) {
	select {
	case requeued <- struct{}{}:
	default:
	}
}

// restarts replaces the agent, as after a crash.
func (w *world) restarts() {
	w.t.Helper()
	w.starts(w.own)
}

// commits commits files to the branch; an empty file is removed.
func (w *world) commits(files ...string) string {
	w.t.Helper()
	var changes []gittest.Change
	for i := 0; i < len(files); i += 2 {
		if files[i+1] == "" {
			changes = append(changes, gittest.Remove(files[i]))
		} else {
			changes = append(changes, gittest.Write(files[i], files[i+1]))
		}
	}
	w.env.Commit = w.git.Change("main", "a commit", changes...)
	return w.env.Commit
}

// pass makes one pass, and keeps what would be reported.
func (w *world) pass() Outcome {
	w.t.Helper()
	o := w.Pass(w.t.Context(), w.env)
	if found(o).AppliedCommit != "" {
		w.env.Applied = found(o).AppliedCommit
	}
	if found(o).HealthyCommit != "" {
		w.env.Healthy = found(o).HealthyCommit
	}
	return o
}

// view is the finding of a pass of an environment that should run.
type view struct {
	Judged
	Objects
}

func found(o Outcome) view {
	j, _ := o.Finding.(Judged)
	v := view{Judged: j}
	if j.Objects != nil {
		v.Objects = *j.Objects
	}
	return v
}

func isTornDown(o Outcome) bool {
	_, is := o.Finding.(TornDown)
	return is
}

func gone(o Outcome) bool {
	t, _ := o.Finding.(TornDown)
	return t.Gone
}

// passes makes passes as often as the agent would, until an outcome meets a condition.
func (w *world) passes(what string, ok func(Outcome) bool) Outcome {
	w.t.Helper()
	return w.drive(what, w.pass, ok)
}

func (w *world) drive(what string, pass func() Outcome, ok func(Outcome) bool) Outcome {
	w.t.Helper()
	impatient := time.After(patience)
	for {
		o := pass()
		if ok(o) {
			return o
		}
		if o.Again {
			continue
		}
		var due <-chan time.Time
		if !o.Deadline.IsZero() {
			due = time.After(max(o.Deadline.Sub(w.now()), time.Millisecond))
		}
		if o.Err != nil {
			due = time.After(10 * time.Millisecond) // as the agent's queue does
		}
		select {
		case <-w.requeued:
		case <-due:
		case <-impatient:
			w.t.Fatalf("waited in vain for %s; last: %+v", what, o)
		}
	}
}

// becomes makes passes until the environment is in a state at the newest commit, with the texts in its message.
func (w *world) becomes(state plan.State, texts ...string) Outcome {
	w.t.Helper()
	return w.passes(fmt.Sprintf("%s %q", state, texts), func(o Outcome) bool {
		return !o.Quiet() && !o.Again && o.State() == state && found(o).Commit == w.env.Commit && holds(found(o).Message, texts)
	})
}

func holds(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
}

var resources = map[string]schema.GroupVersionResource{
	"ConfigMap":  {Version: "v1", Resource: "configmaps"},
	"Deployment": {Group: "apps", Version: "v1", Resource: "deployments"},
	"Job":        {Group: "batch", Version: "v1", Resource: "jobs"},
	"Secret":     {Version: "v1", Resource: "secrets"},
	"Namespace":  {Version: "v1", Resource: "namespaces"},
}

func (w *world) client(name string) (dynamic.ResourceInterface, string) {
	kind, short, _ := strings.Cut(name, "/")
	if kind == "Namespace" {
		return w.admin.Resource(resources[kind]), short
	}
	return w.admin.Resource(resources[kind]).Namespace(w.env.Namespace), short
}

// key identifies an object of the environment.
func (w *world) key(name string) manifest.Key {
	kind, short, _ := strings.Cut(name, "/")
	return manifest.Key{Group: resources[kind].Group, Kind: kind, Namespace: w.env.Namespace, Name: short}
}

// look returns an object of the environment; nil if there is none.
func (w *world) look(name string) *unstructured.Unstructured {
	w.t.Helper()
	client, short := w.client(name)
	obj, err := client.Get(w.t.Context(), short, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return obj
}

// value returns a value of a ConfigMap; empty if there is none.
func (w *world) value(name, key string) string {
	w.t.Helper()
	obj := w.look("ConfigMap/" + name)
	if obj == nil {
		return ""
	}
	value, _, _ := unstructured.NestedString(obj.Object, "data", key)
	return value
}

// edits changes an object as a user would.
func (w *world) edits(name, patch string) {
	w.t.Helper()
	client, short := w.client(name)
	_, err := client.Patch(w.t.Context(), short, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		w.t.Fatal(err)
	}
}

// losesRecord deletes the record, and starts an agent that does not remember it.
func (w *world) losesRecord() {
	w.t.Helper()
	records := w.admin.Resource(resources["Secret"]).Namespace(strings.TrimSuffix(w.env.Namespace, "-env"))
	if err := records.DeleteCollection(w.t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "berth.dev/record"}); err != nil {
		w.t.Fatal(err)
	}
	w.restarts()
}

// spoilsRecord makes the record unreadable, and starts an agent that does not remember it.
func (w *world) spoilsRecord() {
	w.t.Helper()
	records := w.admin.Resource(resources["Secret"]).Namespace(strings.TrimSuffix(w.env.Namespace, "-env"))
	list, err := records.List(w.t.Context(), metav1.ListOptions{LabelSelector: "berth.dev/record"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, record := range list.Items {
		patch := `{"data":{"record.json.gz":"c3BvaWxlZA=="}}`
		if _, err := records.Patch(w.t.Context(), record.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.restarts()
}

// wire is the agent's connection to the API server. It counts requests, and can answer them itself.
type wire struct {
	mu     sync.Mutex
	sent   []string
	answer func(*http.Request) (status int, body string)
	carry  func(*http.Request, http.RoundTripper) (*http.Response, error) // replaces the network
}

func (c *wire) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		c.mu.Lock()
		if !r.URL.Query().Has("watch") {
			c.sent = append(c.sent, r.Method+" "+r.URL.RequestURI())
		}
		answer, carry := c.answer, c.carry
		c.mu.Unlock()
		if carry != nil {
			return carry(r, next)
		}
		if answer != nil {
			if status, body := answer(r); status < 0 {
				return nil, errors.New("the cable is cut")
			} else if status > 0 {
				return &http.Response{StatusCode: status, Request: r, ProtoMajor: 1, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewBufferString(body))}, nil
			}
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answers lets the wire answer requests itself. A status of 0 forwards a request, a negative one cuts the connection.
func (c *wire) answers(answer func(*http.Request) (int, string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

// carries sends the requests through a function instead of the network.
func (c *wire) carries(carry func(*http.Request, http.RoundTripper) (*http.Response, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.carry = carry
}

// during returns the requests that contain a text and were sent during an action. It omits watches.
func (c *wire) during(text string, do func()) []string {
	c.mu.Lock()
	before := len(c.sent)
	c.mu.Unlock()
	do()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.sent[before:]), func(s string) bool { return !strings.Contains(s, text) })
}

// The manifests of these tests.

func configMap(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {v: " + value + "}\n"
}

func deployment(name, image string) string {
	return strings.NewReplacer("NAME", name, "IMAGE", image).Replace(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: NAME, image: "registry.example.com/IMAGE", readinessProbe: {tcpSocket: {port: 80}}}]}
`)
}

func job(name, image string) string {
	return strings.NewReplacer("NAME", name, "IMAGE", image).Replace(`
apiVersion: batch/v1
kind: Job
metadata: {name: NAME, annotations: {berth.dev/wave: "-1"}}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: NAME, image: "registry.example.com/IMAGE"}]}}
`)
}

var (
	getOptions    = metav1.GetOptions{}
	updateOptions = metav1.UpdateOptions{}
)

func nothing(context.Context, string, string) (*source.Snapshot, error) {
	return nil, errors.New("the Git server does not answer")
}
