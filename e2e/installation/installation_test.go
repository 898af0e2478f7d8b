// Package installation tests the life of an installation on a real control plane: it is installed, upgraded, lost, restored and
// uninstalled.
package installation

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// binary is the path of berth.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-installation-")
	if err == nil {
		defer os.RemoveAll(dir)
		binary, err = world.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// shared is the cluster of all tests, one after the other.
var shared = clustertest.Shared(clustertest.Config{})

// place is a cluster without an installation, and what happens in it.
type place struct {
	*testing.T
	dir     string
	cluster *clustertest.Cluster
	client  dynamic.Interface
	world   *world.World
	git     *gittest.Repository
	// production is the namespace of production, whose name those of previews begin with.
	production string
	// manifests replace those of this version while they are set.
	manifests []*unstructured.Unstructured
}

// Context outlives the test, because the context of a test ends before its cleanups.
func (p *place) Context() context.Context { return context.Background() }

func newPlace(t *testing.T) *place {
	t.Helper()
	cluster := shared(t)
	p := &place{T: t, dir: t.TempDir(), cluster: cluster, client: dynamic.NewForConfigOrDie(cluster.RESTConfig()), production: strings.ToLower(t.Name())}
	p.production = p.production[:min(len(p.production), 20)] // previews need the rest of 63 characters
	t.Cleanup(p.clear)
	p.git = gittest.NewServer(t).Repository("posts")
	return p
}

// clear removes what a test left. It does not wait for the namespaces of applications, which have other names in each test.
func (p *place) clear() {
	for _, namespace := range []string{deploy.Namespace, "other"} {
		if p.exists(namespaces, "", namespace) {
			p.must("uninstall", "--keep", "--yes", "-n", namespace)
		}
	}
	list, err := p.client.Resource(namespaces).List(p.Context(), metav1.ListOptions{})
	if err != nil {
		p.Fatal(err)
	}
	for _, item := range list.Items {
		name := item.GetName()
		if name == metav1.NamespaceDefault || strings.HasPrefix(name, "kube-") {
			continue
		}
		if err := p.client.Resource(namespaces).Delete(p.Context(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			p.Fatal(err)
		}
	}
	for _, namespace := range []string{deploy.Namespace, "other"} {
		p.awaitGone(namespaces, namespace) // the next test creates it
	}
}

// awaitGone waits until an object outside namespaces is gone.
func (p *place) awaitGone(kind schema.GroupVersionResource, name string) {
	p.Helper()
	world.Await(p, name+" is gone", func() (string, bool) { return "it exists", !p.exists(kind, "", name) })
}

// berth runs a command as the administrator, and returns its output and exit code.
func (p *place) berth(arguments ...string) (output string, code int) {
	p.Helper()
	return p.berthAs(p.cluster.Kubeconfig(), arguments...)
}

func (p *place) berthAs(kubeconfig string, arguments ...string) (output string, code int) {
	p.Helper()
	command := exec.Command(binary, append(arguments, "--kubeconfig", kubeconfig)...)
	text, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		p.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (p *place) must(arguments ...string) string {
	p.Helper()
	output, code := p.berth(arguments...)
	if code != 0 {
		p.Fatalf("berth %s ended with %d:\n%s", strings.Join(arguments, " "), code, output)
	}
	return output
}

// agent starts the agent of a program, with its manifests.
func (p *place) agent(program string) {
	p.Helper()
	var err error
	p.world, err = world.New(p.Context(), world.Config{Cluster: p.cluster, Dir: p.dir, Binary: program, Flags: []string{"--leader-elect"}})
	if err == nil && p.manifests != nil {
		p.withoutPolicies()
		err = clustertest.Apply(p.Context(), p.cluster.RESTConfig(), p.manifests...)
	}
	if err == nil {
		err = p.world.Agent.Start()
	}
	if err != nil {
		p.Fatal(err)
	}
	a := p.world.Agent
	p.Cleanup(func() { _ = a.Stop() })
}

// withoutPolicies deletes the admission policies, which early versions did not have, and whose agents they would refuse.
func (p *place) withoutPolicies() {
	p.Helper()
	for _, kind := range ofTheCluster {
		if !strings.HasPrefix(kind.Resource, "validatingadmissionpolic") {
			continue
		}
		err := p.client.Resource(kind).DeleteCollection(p.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=berth"})
		if err != nil {
			p.Fatal(err)
		}
	}
}

func (p *place) stop() {
	p.Helper()
	if err := p.world.Agent.Stop(); err != nil {
		p.Fatal(err)
	}
}

// posts is production from main, in a namespace that exists, and a preview of every other branch.
func (p *place) posts() *v1alpha1.Repository {
	entry := func(name, namespace string, branches ...v1alpha1.BranchPattern) v1alpha1.Entry {
		return v1alpha1.Entry{Name: name, Branches: branches, Path: "k8s", Namespace: namespace}
	}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: p.git.URL(), Poll: "@every 1s", GoneAfter: metav1.Duration{Duration: time.Second},
		Environments: []v1alpha1.Entry{entry("production", p.production, "main"), entry("review", p.production+"-${BRANCH_SLUG}", "**", "!main")},
	}}
	repository.Name = "posts"
	return repository
}

const application = `apiVersion: apps/v1
kind: Deployment
metadata: {name: api, annotations: {team: posts}}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: registry.example.com/api:1}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: cache}
spec:
  serviceName: api
  selector: {matchLabels: {app: cache}}
  template:
    metadata: {labels: {app: cache}}
    spec: {containers: [{name: cache, image: registry.example.com/cache:1}]}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {berth.dev/wave: "-1"}}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: migrate, image: registry.example.com/api:1}]}
`

// runs starts the agent, and deploys production and two previews.
func (p *place) runs(program string) (production, login, search *world.Environment) {
	p.Helper()
	main := p.git.Commit("main", map[string]string{"k8s/app.yaml": application}, "the application")
	p.git.Branch("login", main)
	p.git.Branch("search", main)
	p.agent(program)
	followed := p.world.Follow(p, p.posts())
	p.Cleanup(func() {
		if p.Failed() {
			p.Log(p.world.Agent.Log(""))
		}
	})
	production, login, search = followed.Environment("main"), followed.Environment("login"), followed.Environment("search")
	for _, environment := range []*world.Environment{production, login, search} {
		environment.Becomes("Healthy", main)
		environment.Namespace()
	}
	return production, login, search
}

var (
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	jobs        = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	bindings    = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

	repositories = schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: "repositories"}
	environments = schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: "environments"}
)

// ofTheCluster are the kinds outside namespaces of which an installation has objects.
var ofTheCluster = []schema.GroupVersionResource{
	definitions,
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
}

// traces returns the names of Berth's objects outside namespaces, and of its namespace.
func (p *place) traces() (names []string) {
	p.Helper()
	for _, kind := range ofTheCluster {
		list, err := p.client.Resource(kind).List(p.Context(), metav1.ListOptions{})
		if err != nil {
			p.Fatal(err)
		}
		for _, item := range list.Items {
			if strings.Contains(item.GetName(), "berth") {
				names = append(names, kind.Resource+"/"+item.GetName())
			}
		}
	}
	if p.exists(namespaces, "", deploy.Namespace) {
		names = append(names, "namespaces/"+deploy.Namespace)
	}
	return names
}

func (p *place) get(kind schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	p.Helper()
	object, err := p.client.Resource(kind).Namespace(namespace).Get(p.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		p.Fatal(err)
	}
	return object
}

func (p *place) exists(kind schema.GroupVersionResource, namespace, name string) bool {
	p.Helper()
	return p.get(kind, namespace, name) != nil
}

// running is what must not change for an application that keeps running.
type running struct {
	deployment, job string
	pods            string
}

func (p *place) running(namespace string) running {
	p.Helper()
	deployment, job := p.get(deployments, namespace, "api"), p.get(jobs, namespace, "migrate")
	if deployment == nil || job == nil {
		p.Fatalf("in %s there is no Deployment (%t) or no Job (%t)", namespace, deployment == nil, job == nil)
	}
	list, err := p.client.Resource(pods).Namespace(namespace).List(p.Context(), metav1.ListOptions{})
	if err != nil {
		p.Fatal(err)
	}
	var names []string
	for _, pod := range list.Items {
		names = append(names, pod.GetName())
	}
	return running{string(deployment.GetUID()), string(job.GetUID()), strings.Join(names, " ")}
}

// released checks that nothing of Berth is left on the application in a namespace.
func (p *place) released(namespace string) {
	p.Helper()
	for _, object := range []*unstructured.Unstructured{p.get(namespaces, "", namespace), p.get(deployments, namespace, "api"), p.get(jobs, namespace, "migrate")} {
		if object == nil {
			p.Errorf("an object of %s is gone", namespace)
			continue
		}
		text, err := object.MarshalJSON()
		if err != nil {
			p.Fatal(err)
		}
		if bytes.Contains(text, []byte("berth.dev/")) || bytes.Contains(text, []byte(`"manager":"berth"`)) {
			p.Errorf("%s %s still has marks: %s", object.GetKind(), object.GetName(), text)
		}
	}
	for _, kind := range []string{"replicasets", "controllerrevisions"} {
		list, err := p.client.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: kind}).Namespace(namespace).List(p.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) == 0 {
			p.Fatal(len(list.Items), err)
		}
		for _, item := range list.Items {
			for key := range item.GetAnnotations() {
				if strings.HasPrefix(key, "berth.dev/") {
					p.Errorf("%s %s still has %s", item.GetKind(), item.GetName(), key)
				}
			}
		}
	}
	if got := p.get(deployments, namespace, "api").GetAnnotations()["team"]; got != "posts" {
		p.Errorf("the annotation of a user is %q", got)
	}
	list, err := p.client.Resource(bindings).Namespace(namespace).List(p.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) > 0 {
		p.Errorf("RoleBindings of %s remain: %v, %v", namespace, list, err)
	}
}

// interrupted runs a command and kills it after a while.
func (p *place) interrupted(after time.Duration, arguments ...string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), after)
	defer cancel()
	command := exec.CommandContext(ctx, binary, append(arguments, "--kubeconfig", p.cluster.Kubeconfig())...)
	_ = command.Run()
}

func expect(t *place, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("%q is not in:\n%s", text, output)
		}
	}
}

// old returns the path of a program, and the objects that install it, as they were at an earlier commit. A shallow
// checkout without that commit skips the test. The program is built once, in a folder that stays.
func old(t *testing.T, commit string) (program string, objects []*unstructured.Unstructured) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("git", "-C", root, "cat-file", "-e", commit).Run(); err != nil {
		why := fmt.Sprintf("this checkout does not have the commit %s; run: git fetch --unshallow", commit)
		if shallow, _ := exec.Command("git", "-C", root, "rev-parse", "--is-shallow-repository").Output(); strings.TrimSpace(string(shallow)) == "false" {
			t.Fatal(why) // the whole history is there, and the commit is not
		}
		t.Skip(why)
	}
	dir := filepath.Join(root, ".build", "earlier")
	command := exec.Command("sh", "-ec", `mkdir -p "$2"; git -C "$0" archive "$1" | tar -x -C "$2"; go build -C "$2" -o . ./cmd/berth`, root, commit, dir)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building the commit %s: %v: %s", commit, err, output)
	}
	return filepath.Join(dir, "berth"), manifests(t, filepath.Join(dir, "deploy"))
}
