package live

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

var cluster = clustertest.Shared(clustertest.Config{})

// atOnce is how many tests run in parallel. They mostly wait.
const atOnce = 8

func TestMain(m *testing.M) { os.Exit(clustertest.Parallel(m, atOnce)) }

// timeout is far beyond what any step takes on a loaded machine.
const timeout = 3 * time.Minute

var (
	configMaps  = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	services    = schema.GroupVersionKind{Version: "v1", Kind: "Service"}
	claims      = schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}
	deployments = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
)

// people is the field manager under which the tests disturb what Berth wrote.
const people = "kubectl-edit"

// observer runs Watches against the real API server.
type observer struct {
	*Watches
	t        testing.TB
	cable    *cable
	echoes   *echoes
	now      func() time.Time
	client   dynamic.Interface // the administrator's, not through the cable
	mapper   meta.RESTMapper
	mu       sync.Mutex
	requeues map[string]int
	requeued chan struct{}
	spaces   map[string]string
	kinds    map[string][]schema.GroupVersionKind
}

// observe starts Watches with the administrator's rights.
func observe(t testing.TB) *observer {
	return observeAs(t, cluster(t).RESTConfig(), Config{})
}

func observeAs(t testing.TB, rights *rest.Config, cfg Config) *observer {
	t.Helper()
	o := &observer{
		t: t, cable: &cable{}, echoes: &echoes{}, now: time.Now, requeues: map[string]int{}, requeued: make(chan struct{}, 1),
		spaces: map[string]string{}, kinds: map[string][]schema.GroupVersionKind{},
	}
	o.client = must(dynamic.NewForConfig(cluster(t).RESTConfig()))
	o.mapper = must(apiutil.NewDynamicRESTMapper(cluster(t).RESTConfig(), must(rest.HTTPClientFor(cluster(t).RESTConfig()))))
	rights.Wrap(o.cable.wrap)
	cfg.Dynamic = must(dynamic.NewForConfig(rights))
	cfg.Metadata = must(metadata.NewForConfig(metadata.ConfigFor(rights)))
	cfg.Mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(must(discovery.NewDiscoveryClientForConfig(rights))))
	cfg.Requeue, cfg.Clock = o.requeue, o.echoes
	o.Watches = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- o.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(timeout):
			t.Error("Run did not end with its context")
		}
	})
	return o
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (o *observer) requeue(environment string) {
	o.mu.Lock()
	o.requeues[environment]++
	o.mu.Unlock()
	select {
	case o.requeued <- struct{}{}:
	default:
	}
}

// wakesOf returns how often an environment was requeued.
func (o *observer) requeuesOf(environment string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requeues[environment]
}

// environment follows a new environment with a namespace of its own.
func (o *observer) environment(kinds ...schema.GroupVersionKind) string {
	o.t.Helper()
	namespace := cluster(o.t).Namespace(o.t)
	name := "berth." + namespace
	o.spaces[name], o.kinds[name] = namespace, kinds
	o.Follow(name, Following{Namespace: namespace, Kinds: kinds})
	return name
}

// synced follows a new environment and waits until all its kinds are known.
func (o *observer) synced(kinds ...schema.GroupVersionKind) string {
	o.t.Helper()
	name := o.environment(kinds...)
	for len(o.look(name).Unknown) > 0 {
		o.next("all kinds to be known")
	}
	return name
}

// look observes an environment.
func (o *observer) look(environment string, keys ...manifest.Key) observed.State {
	return o.Observe(Query{
		Environment: environment, Namespace: o.spaces[environment], Kinds: o.kinds[environment],
		Keys: keys, Now: o.now(),
	})
}

// await waits until the observed state of an environment is as expected; it checks after each requeue.
func (o *observer) await(environment, what string, ok func(observed.State) bool) observed.State {
	o.t.Helper()
	for {
		seen := o.look(environment)
		if ok(seen) {
			return seen
		}
		select {
		case <-o.requeued:
		case <-time.After(timeout):
			o.t.Fatalf("no more requeues while waiting for %s; seen: %+v", what, seen)
		}
	}
}

// next waits for any requeue.
func (o *observer) next(what string) {
	o.t.Helper()
	select {
	case <-o.requeued:
	case <-time.After(timeout):
		o.t.Fatalf("no more requeues while waiting for %s", what)
	}
}

// until polls for what causes no requeue.
func (o *observer) until(what string, ok func() bool) {
	o.t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(timeout)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			o.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// quiet waits until the effects of all writes must have arrived, and returns how often the environment was requeued. The
// object of another environment marks the end: a watch keeps the order.
func (o *observer) quiet(environment string, kind schema.GroupVersionKind, do func()) int {
	o.t.Helper()
	o.until("earlier requeues", func() bool {
		o.Watches.mu.Lock()
		defer o.Watches.mu.Unlock()
		return len(o.held) == 0
	})
	other := o.synced(o.kinds[environment]...)
	before, others := o.requeuesOf(environment), o.requeuesOf(other)
	release := o.echoes.hold() // on a loaded machine, the answer to a write may come long after its event
	do()
	// What looks like our own write is announced last.
	o.write(manifest.FieldManager, other, sample(kind, "marker"))
	o.until("the marker", func() bool { return len(o.look(other).Objects) == 1 })
	release()
	for o.requeuesOf(other) == others {
		o.next("the marker's requeue")
	}
	return o.requeuesOf(environment) - before
}

// echoes is the real clock. It can hold back what is to happen after the time that a write of our own has for its answer.
type echoes struct {
	clock.RealClock
	mu      sync.Mutex
	holding bool
	held    []func()
}

func (e *echoes) AfterFunc(d time.Duration, f func()) clock.Timer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d != echo || !e.holding {
		return e.RealClock.AfterFunc(d, f)
	}
	e.held = append(e.held, f)
	return e.RealClock.AfterFunc(timeout, func() {})
}

func (e *echoes) hold() (release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.holding = true
	return func() {
		e.mu.Lock()
		held := e.held
		e.holding, e.held = false, nil
		e.mu.Unlock()
		for _, f := range held {
			f()
		}
	}
}

// sample returns the least that the API server takes for an object of a kind.
func sample(gvk schema.GroupVersionKind, name string) *unstructured.Unstructured {
	content := map[schema.GroupVersionKind]string{
		configMaps:  `data: {colour: green}`,
		services:    `spec: {ports: [{port: 80, protocol: TCP}]}`,
		claims:      `spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`,
		deployments: `spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: good, readinessProbe: {tcpSocket: {port: 80}}}]}}}`,
	}[gvk]
	obj := parse(content)
	obj.SetGroupVersionKind(gvk)
	obj.SetName(name)
	return obj
}

func parse(text string) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		panic(err)
	}
	return obj
}

// resource returns the client for an object's kind in its namespace.
func (o *observer) resource(obj *unstructured.Unstructured) dynamic.ResourceInterface {
	o.t.Helper()
	gvk := obj.GroupVersionKind()
	mapping, err := o.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		o.t.Fatal(err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return o.client.Resource(mapping.Resource)
	}
	return o.client.Resource(mapping.Resource).Namespace(obj.GetNamespace())
}

// write applies an object as part of an environment, and returns what it became.
func (o *observer) write(manager, environment string, obj *unstructured.Unstructured) *unstructured.Unstructured {
	o.t.Helper()
	obj = obj.DeepCopy()
	if manager == manifest.FieldManager {
		labels := map[string]string{manifest.LabelEnvironment: environment}
		maps.Copy(labels, obj.GetLabels())
		obj.SetLabels(labels)
		obj.SetAnnotations(map[string]string{manifest.AnnotationDigest: "1:abc"})
	}
	if obj.GetNamespace() == "" {
		obj.SetNamespace(o.spaces[environment])
	}
	now, err := o.resource(obj).Apply(o.t.Context(), obj.GetName(), obj, metav1.ApplyOptions{FieldManager: manager, Force: true})
	if err != nil {
		o.t.Fatal(err)
	}
	return now
}

// patch changes an object as kubectl does.
func (o *observer) patch(obj *unstructured.Unstructured, patch string, subresources ...string) *unstructured.Unstructured {
	o.t.Helper()
	now, err := o.resource(obj).Patch(o.t.Context(), obj.GetName(), types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: people}, subresources...)
	if err != nil {
		o.t.Fatal(err)
	}
	return now
}

func (o *observer) delete(obj *unstructured.Unstructured) {
	o.t.Helper()
	if err := o.resource(obj).Delete(context.WithoutCancel(o.t.Context()), obj.GetName(), metav1.DeleteOptions{}); err != nil {
		o.t.Fatal(err)
	}
}

// label returns a patch that changes the mark of whose an object is.
func label(environment any) string {
	text := must(json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{manifest.LabelEnvironment: environment}}}))
	return string(text)
}

// has says that an object is seen.
func has(obj *unstructured.Unstructured) func(observed.State) bool {
	return func(seen observed.State) bool {
		_, ok := seen.Objects[manifest.KeyOf(obj)]
		return ok
	}
}

func lacks(obj *unstructured.Unstructured) func(observed.State) bool {
	return func(seen observed.State) bool { return !has(obj)(seen) }
}

// cable is the connection to the API server; it counts requests and can be cut.
type cable struct {
	mu     sync.Mutex
	broken bool
	sent   []string
	bodies []io.Closer
}

var errCut = errors.New("the cable is cut")

func (c *cable) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		c.mu.Lock()
		broken := c.broken
		c.sent = append(c.sent, r.Method+" "+r.URL.RequestURI())
		c.mu.Unlock()
		if broken {
			return nil, errCut
		}
		response, err := next.RoundTrip(r)
		if err != nil {
			return response, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.broken { // it was cut before the answer came
			response.Body.Close()
			return nil, errCut
		}
		c.bodies = append(c.bodies, response.Body)
		return response, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// cut ends all watches and lets no request through.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	for _, body := range c.bodies {
		body.Close()
	}
	c.bodies = nil
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = false
}

// requests returns those sent whose path or query contains a text.
func (c *cable) requests(containing string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for _, r := range c.sent {
		if strings.Contains(r, containing) {
			found = append(found, r)
		}
	}
	return found
}
