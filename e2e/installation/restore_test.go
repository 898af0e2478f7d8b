package installation

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
)

func (p *place) apply(kind, version, name string, more map[string]any) error {
	object := &unstructured.Unstructured{Object: more}
	if more == nil {
		object.Object = map[string]any{}
	}
	object.SetAPIVersion(version)
	object.SetKind(kind)
	object.SetName(name)
	return clustertest.Apply(p.Context(), p.cluster.RESTConfig(), object)
}

// backUp does what the command in docs/backup.md does: it reads the objects, and drops what belongs to one cluster.
func (p *place) backUp() (backup []unstructured.Unstructured) {
	p.Helper()
	for _, kind := range []schema.GroupVersionResource{secrets, repositories, environments} {
		list, err := p.client.Resource(kind).Namespace(deploy.Namespace).List(p.Context(), metav1.ListOptions{})
		if err != nil {
			p.Fatal(err)
		}
		for _, object := range list.Items {
			for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences"} {
				unstructured.RemoveNestedField(object.Object, "metadata", field)
			}
			backup = append(backup, object)
		}
	}
	return backup
}

func (p *place) restore(backup []unstructured.Unstructured, kinds ...string) {
	p.Helper()
	for _, object := range backup {
		if !slices.Contains(kinds, object.GetKind()) {
			continue
		}
		kind := map[string]schema.GroupVersionResource{"Secret": secrets, "Repository": repositories, "Environment": environments}[object.GetKind()]
		if _, err := p.client.Resource(kind).Namespace(deploy.Namespace).Create(p.Context(), &object, metav1.CreateOptions{}); err != nil {
			p.Fatal(err)
		}
	}
}

// lose deletes the agent's namespace and its kinds, as an administrator might do by mistake.
func (p *place) lose() {
	p.Helper()
	list, err := p.client.Resource(environments).Namespace(deploy.Namespace).List(p.Context(), metav1.ListOptions{})
	if err != nil {
		p.Fatal(err)
	}
	for _, env := range list.Items {
		if _, err := p.client.Resource(environments).Namespace(deploy.Namespace).Patch(p.Context(), env.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
			p.Fatal(err)
		}
	}
	p.deletes(namespaces, deploy.Namespace)
	p.deletes(definitions, "repositories.berth.dev")
	p.deletes(definitions, "environments.berth.dev")
}

// deletes deletes an object outside namespaces, and waits until it is gone.
func (p *place) deletes(kind schema.GroupVersionResource, name string) {
	p.Helper()
	if err := p.client.Resource(kind).Delete(p.Context(), name, metav1.DeleteOptions{}); err != nil {
		p.Fatal(err)
	}
	p.awaitGone(kind, name)
}

// reconciled waits until the agent has reconciled production and a preview, and then longer than a few polls.
func (p *place) reconciled() {
	p.Helper()
	for _, name := range []string{"posts.production.main", "posts.review.login"} {
		world.Await(p, name+" is healthy again", func() (string, bool) {
			object, err := p.client.Resource(environments).Namespace(deploy.Namespace).Get(p.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err.Error(), false
			}
			env := world.Object{Unstructured: object}
			return env.Field("status"), env.Field("status.healthyCommit") == p.git.Head("main") && strings.Contains(env.Field("status.conditions"), "reason:Healthy")
		})
	}
}

// The agent's namespace and kinds are lost. With a backup, everything goes on as before: nothing is deleted, nothing
// restarts, and no Job runs again.
func TestRestoringAnInstallation(t *testing.T) {
	p := newPlace(t)
	production, login, search := p.runs(binary)
	names := []string{production.Namespace(), login.Namespace(), search.Namespace()}
	p.world.SetSecret(p, "posts-git", map[string]string{"username": "berth"})
	var before []running
	for _, name := range names {
		before = append(before, p.running(name))
	}
	// Completed Jobs are often removed.
	if err := p.client.Resource(jobs).Namespace(names[0]).Delete(p.Context(), "migrate", metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}); err != nil {
		t.Fatal(err)
	}
	world.Await(p, "the Job is gone", func() (string, bool) { return "", !p.exists(jobs, names[0], "migrate") })
	decided := p.decide()
	backup := p.backUp()
	p.stop()
	p.lose()

	p.must("install", "--replicas", "0")
	p.restore(backup, "Secret", "Environment")
	p.restore(backup, "Repository")
	p.agent(binary)
	p.reconciled()
	for _, branch := range []string{"login", "search"} { // neither follows its branch
		p.git.CommitFrom("main", branch, map[string]string{"k8s/late.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: late}}"}, "not now")
	}
	p.awaitCommits("login", "search")
	world.Always(p, 3*time.Second, "the migration does not run again, and no branch is followed that was not", func() (string, bool) {
		ran, late := p.exists(jobs, names[0], "migrate"), p.exists(configMaps, names[1], "late") || p.exists(configMaps, names[2], "late")
		return fmt.Sprintf("it runs: %t; a branch is followed: %t", ran, late), !ran && !late
	})
	if after := p.decisions(); !maps.Equal(after, decided) {
		t.Errorf("users had decided %v, and now it is %v", decided, after)
	}
	for i, name := range names[1:] {
		if after := p.running(name); after != before[i+1] {
			t.Errorf("%s changed: %+v, want %+v", name, after, before[i+1])
		}
	}
	if got := p.get(secrets, deploy.Namespace, "posts-git"); got == nil {
		t.Error("the credentials are missing")
	}
}

// decide lets users decide what is not in Git: they pin one preview, and suspend and keep the other. It returns the decisions.
func (p *place) decide() map[string]string {
	p.Helper()
	for name, decision := range map[string]string{
		"posts.review.login":  `{"spec":{"pin":"` + p.git.Head("login") + `"}}`,
		"posts.review.search": `{"spec":{"suspend":true},"metadata":{"annotations":{"berth.dev/keep":"true"}}}`,
	} {
		if _, err := p.client.Resource(environments).Namespace(deploy.Namespace).Patch(p.Context(), name, types.MergePatchType, []byte(decision), metav1.PatchOptions{}); err != nil {
			p.Fatal(err)
		}
	}
	return p.decisions()
}

// decisions returns what users decided about each Environment.
func (p *place) decisions() map[string]string {
	p.Helper()
	decisions := map[string]string{}
	for _, name := range []string{"posts.production.main", "posts.review.login", "posts.review.search"} {
		env := world.Object{Unstructured: p.get(environments, deploy.Namespace, name)}
		decisions[name] = fmt.Sprintf("pin %q, suspend %q, keep %q", env.Field("spec.pin"), env.Field("spec.suspend"), env.GetAnnotations()["berth.dev/keep"])
	}
	return decisions
}

// awaitCommits waits until the agent has listed the heads of branches.
func (p *place) awaitCommits(branches ...string) {
	p.Helper()
	for _, branch := range branches {
		world.Await(p, "the head of "+branch+" is listed", func() (string, bool) {
			env := world.Object{Unstructured: p.get(environments, deploy.Namespace, "posts.review."+branch)}
			return env.Field("spec.commit"), env.Field("spec.commit") == p.git.Head(branch)
		})
	}
}

// manifests reads the Kustomize base of a checkout.
func manifests(t *testing.T, dir string) (objects []*unstructured.Unstructured) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var base struct{ Resources []string }
	if err := yaml.Unmarshal(text, &base); err != nil {
		t.Fatal(err)
	}
	for _, name := range base.Resources {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
		for {
			object := &unstructured.Unstructured{}
			err := decoder.Decode(object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(object.Object) > 0 && object.GetKind() != "Deployment" {
				objects = append(objects, object)
			}
		}
	}
	return objects
}

// earlier is a commit before the accounts of environments, the proofs of marks and the processes for Kustomize.
const earlier = "569e50910e5ddeae13ff7db994a56e78d925e3e5"

// What an earlier version stored stays readable: nothing restarts, and no Job runs again.
func TestUpgradingAnInstallation(t *testing.T) {
	program, objects := old(t, earlier)
	p := newPlace(t)
	p.manifests = objects
	production, login, search := p.runs(program)
	names := []string{production.Namespace(), login.Namespace(), search.Namespace()}
	before := []running{p.running(names[0]), p.running(names[1]), p.running(names[2])}
	p.stop()

	p.manifests = nil
	p.must("install", "--force-conflicts")
	p.agent(binary)
	p.reconciled()
	// The next commit changes one thing only.
	changed := strings.Replace(application, "port: 80", "port: 81", 1)
	production.Becomes("Healthy", p.git.Commit("main", map[string]string{"k8s/app.yaml": changed}, "another port"))
	for i, name := range names {
		if after := p.running(name); after != before[i] {
			t.Errorf("%s changed: %+v, want %+v", name, after, before[i])
		}
	}
	p.git.Delete("login")
	login.AwaitEnd()
}
