package apply

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

var cluster = clustertest.Shared(clustertest.Config{APIServerOnly: true})

const environment = "a1b2c3.0123456789abcdefghijklmnop"

// world is an environment in a namespace of its own, on a real API server.
type world struct {
	t         *testing.T
	namespace string
	config    *rest.Config
	// admin is a client whose writes are not Berth's.
	admin   dynamic.Interface
	applier *Applier
	target  Target
	now     time.Time
}

// atOnce is how many tests run in parallel. They mostly wait.
const atOnce = 8

func TestMain(m *testing.M) { os.Exit(clustertest.Parallel(m, atOnce)) }

// newWorld returns a world, and lets the test run in parallel with others. configure may change how its applier reaches the
// cluster.
func newWorld(t *testing.T, configure ...func(*rest.Config, *Config)) *world {
	t.Helper()
	t.Parallel()
	return anotherWorld(t, configure...)
}

// anotherWorld returns a world for a test that already has one.
func anotherWorld(t *testing.T, configure ...func(*rest.Config, *Config)) *world {
	t.Helper()
	c := cluster(t)
	w := &world{t: t, namespace: c.Namespace(t), config: c.RESTConfig(), now: time.Now()}
	w.target = Target{Environment: environment, Prover: manifest.NewProver([]byte("key")), Annotations: map[string]string{
		manifest.AnnotationRepository:  "posts",
		manifest.AnnotationBranch:      "feature/login",
		manifest.AnnotationEnvironment: "posts.review.feature-login",
	}}
	w.admin = dynamicFor(t, w.config)

	ours := rest.CopyConfig(w.config)
	config := Config{Mapper: newMapper(t, w.config), OpenAPI: discoveryFor(t, w.config).OpenAPIV3(), Now: func() time.Time { return w.now }}
	for _, f := range configure {
		f(ours, &config)
	}
	config.Dynamic = dynamicFor(t, ours)
	w.applier = New(config)
	return w
}

func dynamicFor(t *testing.T, config *rest.Config) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func newMapper(t *testing.T, config *rest.Config) *restmapper.DeferredDiscoveryRESTMapper {
	t.Helper()
	return restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discoveryFor(t, config)))
}

func discoveryFor(t *testing.T, config *rest.Config) *discovery.DiscoveryClient {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// transport returns a configuration in which see is called before every request of the applier.
func transport(see func(*http.Request)) func(*rest.Config, *Config) {
	return func(c *rest.Config, _ *Config) {
		c.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				see(r)
				return next.RoundTrip(r)
			})
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// object returns the object of a manifest, sealed, with NS replaced by the namespace.
func (w *world) object(text string) *manifest.Object {
	w.t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text, "NS", w.namespace)), &obj.Object); err != nil {
		w.t.Fatal(err)
	}
	set := manifest.Set{Objects: []manifest.Object{{Unstructured: obj, Origin: manifest.Origin{File: "infra/app.yaml", Line: 12}}}}
	if err := set.Seal([]byte("key"), nil); err != nil {
		w.t.Fatal(err)
	}
	return &set.Objects[0]
}

// step returns a step for an object in Git.
func (w *world) step(action plan.Action, text string, live *observed.Object) plan.Step {
	w.t.Helper()
	o := w.object(text)
	return plan.Step{Action: action, Key: o.Key(), Object: o, Live: live}
}

// gone returns the step that deletes an object.
func gone(live *observed.Object) plan.Step {
	return plan.Step{Action: plan.Delete, Key: live.Key, Live: live}
}

func (w *world) run(steps ...plan.Step) []Result {
	w.t.Helper()
	results := w.applier.Run(w.t.Context(), w.target, steps)
	if len(results) != len(steps) {
		w.t.Fatalf("%d results for %d steps", len(results), len(steps))
	}
	return results
}

// do runs one step.
func (w *world) do(action plan.Action, text string, live *observed.Object) Result {
	w.t.Helper()
	return w.run(w.step(action, text, live))[0]
}

// created creates an object as Berth does, and returns the result.
func (w *world) created(text string) *observed.Object {
	w.t.Helper()
	return w.must(Created, w.do(plan.Create, text, nil))
}

// must checks a success, and returns the live object.
func (w *world) must(done Done, r Result) *observed.Object {
	w.t.Helper()
	if r.Err != nil || r.Done != done {
		w.t.Fatalf("%s: got %q, %v (cause %#v), want %q", r.Step.Key, r.Done, r.Err, causeOf(r), done)
	}
	return r.Live
}

func causeOf(r Result) error {
	if r.Err == nil {
		return nil
	}
	return r.Err.Err
}

// refused checks the class and the whole message of a failure.
func (w *world) refused(class Class, message string, r Result) {
	w.t.Helper()
	message = strings.ReplaceAll(message, "NS", w.namespace)
	if r.Err == nil || r.Err.Class != class || r.Err.Message != message || r.Done != "" {
		w.t.Errorf("%s:\n got %q %v (cause %#v)\nwant %q %s", r.Step.Key, r.Done, describe(r), causeOf(r), class, message)
	}
}

func describe(r Result) string {
	if r.Err == nil {
		return "no error"
	}
	return string(r.Err.Class) + " " + r.Err.Message
}

// resource returns the admin's client for the kind of a text.
func (w *world) resource(o *manifest.Object) dynamic.ResourceInterface {
	w.t.Helper()
	mapping, err := w.applier.mapper.find(o.GroupVersionKind())
	if err != nil {
		w.t.Fatal(err)
	}
	if o.GetNamespace() == "" {
		return w.admin.Resource(mapping.Resource)
	}
	return w.admin.Resource(mapping.Resource).Namespace(o.GetNamespace())
}

// kubectl creates an object as a user would.
func (w *world) kubectl(text string) *unstructured.Unstructured {
	w.t.Helper()
	o := w.object(text)
	obj, err := w.resource(o).Create(w.t.Context(), o.Unstructured, metav1.CreateOptions{FieldManager: "kubectl-create"})
	if err != nil {
		w.t.Fatal(err)
	}
	return obj
}

// patch changes an object as a user would.
func (w *world) patch(text, patch string, subresource ...string) *unstructured.Unstructured {
	w.t.Helper()
	o := w.object(text)
	obj, err := w.resource(o).Patch(w.t.Context(), o.GetName(), types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: "kubectl-edit"}, subresource...)
	if err != nil {
		w.t.Fatal(err)
	}
	return obj
}

// delete deletes an object as a user would.
func (w *world) delete(text string) {
	w.t.Helper()
	o := w.object(text)
	background := metav1.DeletePropagationBackground
	if err := w.resource(o).Delete(w.t.Context(), o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		w.t.Fatal(err)
	}
}

// look reads an object. It returns nil if there is none.
func (w *world) look(text string) *unstructured.Unstructured {
	w.t.Helper()
	o := w.object(text)
	list, err := w.resource(o).List(w.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + o.GetName()})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	return &list.Items[0]
}

// seen returns an object as the watches would report it.
func (w *world) seen(text string) *observed.Object {
	w.t.Helper()
	obj := w.look(text)
	if obj == nil {
		w.t.Fatalf("there is no %s", w.object(text).Key())
	}
	live := observed.Reduce(obj)
	return &live
}

// patience is far longer than an API server takes to notice anything on a loaded machine.
const patience = 3 * time.Minute

// until polls, because there is no event to wait for.
func (w *world) until(done func() bool) {
	w.t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			w.t.Fatal("waited in vain")
		}
	}
}

func field(t *testing.T, obj *unstructured.Unstructured, path ...string) any {
	t.Helper()
	value, _, err := unstructured.NestedFieldNoCopy(obj.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// The objects of these tests.
const (
	configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: NS}
data: {mode: fast}
`
	deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: NS, labels: {team: posts}}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: "example.com/api:1"}]}
`
	job = `
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: NS}
spec:
  ttlSecondsAfterFinished: 60
  template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: "example.com/migrate:1"}]}}
`
	secret = `
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: NS}
data: {password: c2VzYW1l}
`
)

// with returns a text with one part of it replaced.
func with(text, old, replacement string) string {
	if !strings.Contains(text, old) {
		panic("there is no " + old)
	}
	return strings.ReplaceAll(text, old, replacement)
}

// cancelled returns a context that is done.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
