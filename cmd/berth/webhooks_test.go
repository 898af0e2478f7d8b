package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/internal/loopback"
)

// webhookToken is the token of all repositories of these tests.
const webhookToken = "s3cr3t-of-posts"

// port receives webhooks, and gives access to the cluster that they change.
type port struct {
	t       *testing.T
	cluster *clustertest.Cluster
	client  dynamic.Interface
	git     *gittest.Server
	// leader and follower are the addresses of two replicas.
	leader, follower string
}

// Two replicas run with the rights of the ServiceAccount. They poll the repositories once an hour, so that any
// earlier change is due to a webhook.
func TestWebhooks(t *testing.T) {
	p, kubeconfig := newPort(t, newObject("v1", "Secret", "webhook", map[string]any{"stringData": map[string]any{"token": webhookToken + "\n"}}))
	p.leader = p.replica(kubeconfig)
	p.await("a replica leads", func(ctx context.Context) bool {
		lease, err := p.client.Resource(leases).Namespace(deploy.Namespace).Get(ctx, "berth-agent", metav1.GetOptions{})
		return err == nil && lease != nil
	})
	p.follower = p.replica(kubeconfig)

	t.Run("the first write", p.testFirstWrite)
	t.Run("a burst", p.testBurst)
	t.Run("a replica that does not lead", p.testFollower)
	t.Run("a Git server with the hiccups", p.testHiccups)
	t.Run("what is not authentic", p.testRefusals)
}

var (
	leases       = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	repositories = schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: "repositories"}
	configMaps   = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// newPort starts a cluster in which all of Berth but the agent is installed. It returns the agent's kubeconfig.
func newPort(t *testing.T, more ...*unstructured.Unstructured) (p *port, kubeconfig string) {
	t.Helper()
	c := clustertest.Start(t, clustertest.Config{})
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" })
	if err := clustertest.Apply(t.Context(), c.RESTConfig(), append(objects, more...)...); err != nil {
		t.Fatal(err)
	}
	if kubeconfig, err = c.KubeconfigFor(t.Context(), deploy.Namespace, deploy.ServiceAccount); err != nil {
		t.Fatal(err)
	}
	return &port{t: t, cluster: c, client: dynamic.NewForConfigOrDie(c.RESTConfig()), git: gittest.NewServer(t)}, kubeconfig
}

// testFirstWrite logs a measurement. The benchmark checks whether it is fast enough.
func (p *port) testFirstWrite(t *testing.T) {
	var took []time.Duration
	for n := range 12 {
		name := fmt.Sprintf("quick-%d", n)
		repository := p.follow(name)
		seen := p.watch(name)
		commit := repository.Commit("main", map[string]string{"README": "anything"}, "a push")
		began := time.Now()
		p.deliver(t, p.leader, name, http.StatusAccepted)
		for got := range seen {
			if got == commit {
				took = append(took, time.Since(began))
				break
			}
		}
		p.awaitHookTime(name)
	}
	if len(took) < 12 {
		t.Fatalf("only %d of 12 commits were applied", len(took))
	}
	slices.Sort(took)
	t.Logf("from a webhook to the first write: median %s of %d, at most %s", took[len(took)/2], len(took), took[len(took)-1])
}

func (p *port) testBurst(t *testing.T) {
	p.follow("burst")
	p.git.Forget()
	began := time.Now()
	var all sync.WaitGroup
	pace := time.NewTicker(9 * time.Millisecond)
	defer pace.Stop()
	for range 100 {
		all.Go(func() { p.deliver(t, p.leader, "burst", http.StatusAccepted) })
		<-pace.C
	}
	all.Wait()
	most := 1 + int(math.Ceil(time.Since(began).Seconds())) // 2, unless the machine is too slow for 100 in a second
	p.await("what came last is followed", func(context.Context) bool { return p.git.Count(gittest.ListRefs) >= 2 })
	if err := stays(t.Context(), 1500*time.Millisecond, func() bool { return p.git.Count(gittest.ListRefs) <= most }); err != nil {
		t.Errorf("%d listings, want at most %d: %v", p.git.Count(gittest.ListRefs), most, err)
	}
	t.Logf("100 webhooks: %d listings", p.git.Count(gittest.ListRefs))
}

func (p *port) testFollower(t *testing.T) {
	repository := p.follow("passed-on")
	seen := p.watch("passed-on")
	commit := repository.Commit("main", map[string]string{"README": "anything"}, "a push")
	for range 20 {
		p.deliver(t, p.follower, "passed-on", http.StatusAccepted)
	}
	for got := range seen {
		if got == commit {
			break
		}
	}
	p.awaitHookTime("passed-on")
	repo := p.repository("passed-on")
	if request := repo.GetAnnotations()["berth.dev/requested"]; !strings.HasPrefix(request, "hook-") {
		t.Errorf("berth.dev/requested is %q", request)
	}
	if p.repository("passed-on").GetGeneration() != 1 {
		t.Error("the webhook changed the spec")
	}
}

func (p *port) testHiccups(t *testing.T) {
	for name, address := range map[string]string{"hiccups": p.leader, "hiccups-passed-on": p.follower} {
		repository := p.follow(name)
		seen := p.watch(name)
		p.git.Misbehave(gittest.Status(http.StatusServiceUnavailable))
		p.git.Forget()
		commit := repository.Commit("main", map[string]string{"README": "anything"}, "a push")
		p.deliver(t, address, name, http.StatusAccepted)
		p.await("the server was asked in vain", func(context.Context) bool { return p.git.Count() >= 2 })
		p.git.Behave()
		for got := range seen {
			if got == commit {
				break
			}
		}
		p.awaitHookTime(name)
	}
}

func (p *port) testRefusals(t *testing.T) {
	p.follow("careful")
	p.git.Forget()
	for _, address := range []string{p.leader, p.follower} {
		p.deliver(t, address, "unknown", http.StatusUnauthorized)
		p.deliverWith(t, "guess", address, "careful", http.StatusUnauthorized)
	}
	if n := p.git.Count(); n != 0 {
		t.Errorf("%d requests to the Git server, want none", n)
	}
}

// replica starts an agent, and returns the address at which it receives webhooks.
func (p *port) replica(kubeconfig string) string {
	p.t.Helper()
	address, log := p.start(kubeconfig)
	p.t.Cleanup(func() {
		if strings.Contains(log.String(), webhookToken) {
			p.t.Errorf("the log of the agent at %s holds the token", address)
		}
	})
	p.deliver(p.t, address, "unknown", http.StatusUnauthorized)
	return address
}

// start starts an agent with additional environment variables, and waits until it is ready. The log may be read
// while the agent runs.
func (p *port) start(kubeconfig string, environment ...string) (address string, log *logbook) {
	p.t.Helper()
	address, health := p.claim(), p.claim()
	log = &logbook{}
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	agent := exec.CommandContext(ctx, "berth", "agent", "--kubeconfig", kubeconfig, "--store-dir", p.t.TempDir(), "--leader-elect",
		"--metrics-address", "0", "--health-address", health, "--webhook-address", address, "--log-level", "debug")
	agent.Env = append(agent.Environ(), environment...)
	agent.Stderr = log
	agent.SysProcAttr = withTests()
	if err := agent.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cancel()
		_ = agent.Wait() // it was killed
		if p.t.Failed() {
			p.t.Logf("the agent at %s:\n%s", address, log)
		}
	})
	// Kubernetes sends deliveries to every ready replica, so even the first one must succeed.
	p.await("the agent is ready", func(ctx context.Context) bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+health+"/readyz", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return address, log
}

// claim returns an address at which an agent can listen.
func (p *port) claim() string {
	p.t.Helper()
	address, err := loopback.Claim()
	if err != nil {
		p.t.Fatal(err)
	}
	return address
}

// logbook holds the output of a program that is read while the program runs.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// follow creates a Repository whose ConfigMap shows the applied commit.
func (p *port) follow(name string) *gittest.Repository {
	p.t.Helper()
	repository := p.git.Repository(name)
	commit := repository.Commit("main", map[string]string{
		"k8s/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: posts}\ndata: {commit: \"${COMMIT}\"}\n",
	}, "begin")
	object := newObject("berth.dev/v1alpha1", "Repository", name, map[string]any{"spec": map[string]any{
		"url": repository.URL(), "poll": "@every 1h",
		"webhook":      map[string]any{"secretRef": map[string]any{"name": "webhook"}},
		"environments": []any{map[string]any{"name": "production", "branches": []any{"main"}, "path": "k8s", "namespace": name}},
	}})
	if _, err := p.client.Resource(repositories).Namespace(deploy.Namespace).Create(p.t.Context(), object, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
	p.await(name+" is applied", func(ctx context.Context) bool {
		applied, err := p.client.Resource(configMaps).Namespace(name).Get(ctx, "posts", metav1.GetOptions{})
		return err == nil && commitOf(applied) == commit
	})
	return repository
}

// watch reports the commits that are applied from now on.
func (p *port) watch(namespace string) <-chan string {
	p.t.Helper()
	watch, err := p.client.Resource(configMaps).Namespace(namespace).Watch(p.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=posts"})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(watch.Stop)
	commits := make(chan string)
	go func() {
		defer close(commits)
		for event := range watch.ResultChan() {
			object, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				return
			}
			select {
			case commits <- commitOf(object):
			case <-p.t.Context().Done():
				return
			}
		}
	}()
	return commits
}

func (p *port) deliver(t *testing.T, address, repository string, want int) {
	t.Helper()
	p.deliverWith(t, webhookToken, address, repository, want)
}

func (p *port) deliverWith(t *testing.T, token, address, repository string, want int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/hooks/"+repository, strings.NewReader(`{"object_kind":"push"}`))
	if err != nil {
		t.Error(err)
		return
	}
	request.Header.Set("X-Gitlab-Event", "Push Hook")
	request.Header.Set("X-Gitlab-Token", token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != want {
		t.Errorf("%s answered %s, want %d", repository, answer.Status, want)
	}
}

func (p *port) awaitHookTime(name string) {
	p.t.Helper()
	p.await(name+" shows when a webhook told of a change", func(context.Context) bool {
		at, _, _ := unstructured.NestedString(p.repository(name).Object, "status", "lastHookTime")
		return at != ""
	})
}

func (p *port) repository(name string) *unstructured.Unstructured {
	p.t.Helper()
	object, err := p.client.Resource(repositories).Namespace(deploy.Namespace).Get(p.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return object
}

// await polls until look returns true.
func (p *port) await(what string, look func(context.Context) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !look(ctx) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			p.t.Fatalf("waited too long until %s", what)
		}
	}
}

// stays polls for a while, and returns an error once look returns false.
func stays(ctx context.Context, during time.Duration, look func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if !look() {
			return fmt.Errorf("it changed within %s", during)
		}
		<-ticker.C
	}
	return nil
}

func commitOf(object *unstructured.Unstructured) string {
	commit, _, _ := unstructured.NestedString(object.Object, "data", "commit")
	return commit
}

func newObject(version, kind, name string, fields map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: fields}
	object.SetAPIVersion(version)
	object.SetKind(kind)
	object.SetNamespace(deploy.Namespace)
	object.SetName(name)
	return object
}
