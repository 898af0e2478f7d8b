package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/internal/kustomizetest"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/environments"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/report"
)

var cluster = clustertest.Shared(clustertest.Config{Audit: true})

// patience is far longer than any step takes on a loaded machine.
const patience = 3 * time.Minute

// atOnce is how many tests run in parallel. They mostly wait.
const atOnce = 6

func TestMain(m *testing.M) {
	kustomizetest.Serve()
	ctrl.SetLogger(logr.Discard())
	os.Exit(clustertest.Parallel(m, atOnce))
}

// world is a Git server and an agent on a real control plane. Each test has its own namespaces.
type world struct {
	t         *testing.T
	cluster   *clustertest.Cluster
	client    client.Client
	namespace string // the agent's; names of environments' namespaces begin with it
	git       *gittest.Server
	code      *gittest.Repository
	stores    string // the folder

	installation string
	name         string // of the agent
	syncAtOnce   int
	progress     time.Duration // between two reports of a fetch
	stuckAfter   time.Duration
	keys         func(client.Reader) environments.Keys
	agent        *running

	mu      sync.Mutex
	ahead   time.Duration // of the real clock
	stopped time.Time     // when the clock was stopped; zero: it runs
}

// newWorld returns a world in which the branch main has one ConfigMap, and without a Repository. Its tests run in
// parallel, because they mostly wait.
func newWorld(t *testing.T) *world {
	t.Parallel()
	return newWorldOn(t, cluster(t))
}

func newWorldOn(t *testing.T, c *clustertest.Cluster) *world {
	t.Helper()
	w := &world{t: t, cluster: c, namespace: c.Namespace(t), git: gittest.NewServer(t), stores: t.TempDir()}
	w.installation = strings.ReplaceAll(w.namespace, "-", "")
	w.code = w.git.Repository("acme/posts")
	w.code.Commit("main", content("one"), "begin")
	installKinds(t, c)
	w.client = w.newClient()
	w.eventually("the kinds are served", func() bool {
		return w.client.List(t.Context(), &v1alpha1.RepositoryList{}) == nil && w.client.List(t.Context(), &v1alpha1.EnvironmentList{}) == nil
	})
	w.start()
	return w
}

// content returns a tree whose only object contains a text.
func content(text string) map[string]string {
	return map[string]string{"infra/k8s/app.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {text: " + text + "}\n"}
}

func (w *world) newClient() client.Client {
	w.t.Helper()
	c, err := client.New(w.cluster.RESTConfig(), client.Options{Scheme: newScheme(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// installKinds installs the kinds and roles of deploy, without the agent and its admission policies.
func installKinds(t *testing.T, c *clustertest.Cluster) {
	t.Helper()
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if kind := o.GetKind(); kind != "CustomResourceDefinition" && kind != "ClusterRole" {
			continue
		}
		if err := clustertest.Apply(t.Context(), c.RESTConfig(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// running is an agent that runs.
type running struct {
	*Agent
	stop func()
}

// counted returns the metrics of all agents of the process.
var counted = sync.OnceValue(func() *report.Metrics { return report.NewMetrics(metrics.Registry, "v1") })

// start starts an agent with the installation's id of this world.
func (w *world) start() {
	w.t.Helper()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: installationSecret},
		StringData: map[string]string{"id": w.installation, "digest-key": "key"},
	}
	if err := w.client.Create(w.t.Context(), secret); err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
	a, err := New(w.t.Context(), Config{
		Keys: w.keys, StuckAfter: w.stuckAfter,
		Cluster: w.cluster.RESTConfig(), Namespace: w.namespace, Name: w.name, StoreDir: w.stores, SyncAtOnce: w.syncAtOnce, ProgressPause: w.progress,
		MetricsAddress: "0", HealthAddress: "0", WebhookAddress: "0", ProfileAddress: "0",
		Kustomize: kustomizetest.Builder(), Metrics: counted(), Version: "test",
		Now: w.now, Jitter: func() float64 { return 0 }, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the agent ended with: %v", err)
		}
	})
	w.agent = &running{Agent: a, stop: stop}
	w.t.Cleanup(stop)
}

// restart stops the agent and starts another one without any state in memory.
func (w *world) restart() {
	w.t.Helper()
	w.agent.stop()
	w.start()
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped.IsZero() {
		return w.stopped.Add(w.ahead)
	}
	return time.Now().Add(w.ahead)
}

// stopClock stops the agent's clock until goOn is called. Then it shows the real time again.
func (w *world) stopClock() (goOn func()) {
	set := func(at time.Time) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stopped = at
	}
	set(time.Now())
	return func() { set(time.Time{}) }
}

// pass advances the clock, and requeues all environments.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	w.ahead += d
	w.mu.Unlock()
	for _, env := range w.environments() {
		w.agent.requeues.Add(client.ObjectKeyFromObject(&env))
	}
}

// follow creates a Repository with production from main and a review of every other branch, after the changes. It
// is polled only on request.
func (w *world) follow(change ...func(*v1alpha1.Repository)) {
	w.t.Helper()
	repo := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: w.namespace},
		Spec: v1alpha1.RepositorySpec{
			URL:  w.code.URL(),
			Poll: "@every 24h",
			Environments: []v1alpha1.Entry{
				{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "infra/k8s", Namespace: w.namespace + "-prod"},
				{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: "infra/k8s", Namespace: w.namespace + "-${BRANCH_SLUG}"},
			},
		},
	}
	for _, f := range change {
		f(repo)
	}
	w.create(repo)
}

func (w *world) create(o client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
}

// change changes an object, and retries on conflicts.
func change[T client.Object](w *world, o T, name string, f func(T)) {
	w.t.Helper()
	key := types.NamespacedName{Namespace: w.namespace, Name: name}
	for {
		err := w.client.Get(w.t.Context(), key, o)
		if err == nil {
			f(o)
			err = w.client.Update(w.t.Context(), o)
		}
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			w.t.Fatal(err)
		}
	}
}

func (w *world) changeRepository(f func(*v1alpha1.Repository)) {
	w.t.Helper()
	change(w, &v1alpha1.Repository{}, "posts", f)
}

func (w *world) changeEnvironment(branch string, f func(*v1alpha1.Environment)) {
	w.t.Helper()
	env := w.environment(branch)
	if env == nil {
		w.t.Fatalf("the branch %s has no Environment", branch)
	}
	change(w, &v1alpha1.Environment{}, env.Name, f)
}

// poll triggers a listing of the repository, and waits until it is done.
func (w *world) poll() {
	w.t.Helper()
	id := fmt.Sprint(time.Now().UnixNano())
	w.changeRepository(func(r *v1alpha1.Repository) { annotate(r, v1alpha1.AnnotationRequested, id) })
	w.eventually("the repository is listed", func() bool { return w.repository().Status.HandledRequest == id })
}

// confirm allows one mass deletion.
func (w *world) confirm() {
	w.t.Helper()
	id := w.askToConfirm()
	w.eventually("the confirmation is handled", func() bool { return w.repository().Status.HandledConfirmation == id })
}

// askToConfirm sends a confirmation as a user does, and returns its id.
func (w *world) askToConfirm() string {
	w.t.Helper()
	id := fmt.Sprint(time.Now().UnixNano())
	w.changeRepository(func(r *v1alpha1.Repository) { annotate(r, v1alpha1.AnnotationConfirmed, id) })
	return id
}

func annotate(o client.Object, key, value string) {
	all := o.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	o.SetAnnotations(all)
}

func (w *world) repository() *v1alpha1.Repository {
	w.t.Helper()
	repo := &v1alpha1.Repository{}
	if err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "posts"}, repo); err != nil {
		w.t.Fatal(err)
	}
	return repo
}

func (w *world) environments() []v1alpha1.Environment {
	w.t.Helper()
	var list v1alpha1.EnvironmentList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// environment returns the Environment of a branch, or nil.
func (w *world) environment(branch string) *v1alpha1.Environment {
	w.t.Helper()
	for _, env := range w.environments() {
		if env.Spec.Branch == branch {
			return &env
		}
	}
	return nil
}

// seen returns the Environments as the agent sees them. Its cache may be a moment late.
func (w *world) seen() []v1alpha1.Environment {
	w.t.Helper()
	var list v1alpha1.EnvironmentList
	if err := w.agent.mgr.GetClient().List(w.t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// space returns the namespace of a branch, or nil.
func (w *world) space(branch string) *corev1.Namespace {
	w.t.Helper()
	name := w.namespace + "-" + naming.Slug(branch)
	if branch == "main" {
		name = w.namespace + "-prod"
	}
	ns := &corev1.Namespace{}
	err := w.client.Get(w.t.Context(), types.NamespacedName{Name: name}, ns)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return ns
}

// says returns the text in the ConfigMap of a branch.
func (w *world) says(branch string) string {
	w.t.Helper()
	ns := w.space(branch)
	if ns == nil {
		return ""
	}
	cm := &corev1.ConfigMap{}
	if err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: ns.Name, Name: "app"}, cm); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return cm.Data["text"]
}

// eventually fails the test if a condition does not become true.
func (w *world) eventually(what string, look func() bool) {
	w.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for !look() {
		select {
		case <-ticker.C:
		case <-late:
			var list v1alpha1.EnvironmentList
			_ = w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace))
			for _, env := range list.Items {
				w.t.Logf("%s: %+v", env.Name, env.Status.Conditions)
			}
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// becomes waits until an Environment's Ready condition has this reason, and returns its message.
func (w *world) becomes(branch, reason string) string {
	w.t.Helper()
	message := ""
	w.eventually(branch+" is "+reason, func() bool {
		env := w.environment(branch)
		if env == nil {
			return false
		}
		ready := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Reason != reason || ready.ObservedGeneration != env.Generation {
			return false
		}
		message = ready.Message
		return true
	})
	return message
}

// healthy waits until branches are healthy at their heads.
func (w *world) healthy(all ...string) {
	w.t.Helper()
	for _, branch := range all {
		head := w.code.Head(branch)
		w.eventually(branch+" is healthy", func() bool {
			env := w.environment(branch)
			return env != nil && env.Spec.Commit == head && env.Status.HealthyCommit == head && branches.IsReason(env, v1alpha1.ReasonHealthy)
		})
	}
}

// gone waits until nothing of a branch remains.
func (w *world) gone(branch string) {
	w.t.Helper()
	w.eventually(branch+" is gone", func() bool { return w.environment(branch) == nil && w.space(branch) == nil })
}

// branches commits to some branches, new or old.
func (w *world) branches(text string, names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.code.CommitFrom("main", name, content(text), text)
	}
}

// uids returns the identities of all Environments and their namespaces: a re-created one has a new UID.
func (w *world) uids() map[string]types.UID {
	w.t.Helper()
	all := map[string]types.UID{}
	for _, env := range w.environments() {
		all[env.Name] = env.UID
		if ns := w.space(env.Spec.Branch); ns != nil {
			all[ns.Name] = ns.UID
			if !ns.DeletionTimestamp.IsZero() {
				all[ns.Name] = "deleted"
			}
		}
		if !env.DeletionTimestamp.IsZero() {
			all[env.Name] = "deleted"
		}
	}
	return all
}

// deletions returns the requests of this process since a time that delete namespaces of environments or objects in
// them.
func (w *world) deletions(since time.Time) (list []string) {
	w.t.Helper()
	requests, err := w.cluster.Requests(since)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range requests {
		environments := w.namespace + "-"
		if strings.HasPrefix(r.Verb, "delete") && r.User == "admin" && (strings.HasPrefix(r.Namespace, environments) || strings.HasPrefix(r.Name, environments)) {
			list = append(list, r.Verb+" "+r.Resource+" "+r.Namespace+"/"+r.Name)
		}
	}
	return list
}

// block prevents the deletion of a branch's namespace.
func (w *world) block(branch string) {
	w.t.Helper()
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "stuck", Namespace: w.space(branch).Name, Finalizers: []string{"example.com/stuck"}}})
}

func (w *world) unblock(branch string) {
	w.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.space(branch).Name, Name: "stuck"}}
	// An update could conflict with the controller that deletes the content of the namespace.
	if err := w.client.Patch(w.t.Context(), cm, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
		w.t.Fatal(err)
	}
}

// condition returns the message of a branch's condition, or "" if it does not exist.
func (w *world) condition(branch, condition string) string {
	w.t.Helper()
	env := w.environment(branch)
	if env == nil {
		return ""
	}
	if c := meta.FindStatusCondition(env.Status.Conditions, condition); c != nil {
		return c.Message
	}
	return ""
}

func (w *world) readyMessageHas(branch, part string) bool {
	w.t.Helper()
	return strings.Contains(w.condition(branch, v1alpha1.ConditionReady), part)
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
