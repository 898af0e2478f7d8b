package hostile

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// A team is a repository that Berth follows. main is production, and anyone can push any other branch, which gets its
// own environment.
type team struct {
	*world.Repository
	t          *testing.T
	server     *gittest.Server
	git        *gittest.Repository
	production *world.Environment
	// healthy is the commit of production; before holds its objects at that time.
	healthy string
	before  world.Contents
}

// begins starts a team whose production is healthy. The name must be short, and no prefix of another's.
func begins(t *testing.T, name string, settings ...func(*v1alpha1.Repository)) *team {
	t.Helper()
	attacking.Add(1)
	t.Cleanup(func() { attacking.Add(-1) })
	server := gittest.NewServer(t)
	team := &team{t: t, server: server, git: server.Repository(name)}
	team.healthy = team.git.Commit("main", application(), "begin")
	repository := repositoryOf(name, team.git.URL())
	for _, set := range settings {
		set(repository)
	}
	team.Repository = shared.Follow(lasting{t}, repository)
	t.Cleanup(func() {
		if t.Failed() {
			team.Explain()
		}
		team.Remove()
	})
	team.production = team.Environment("main")
	team.production.Becomes("Healthy", team.healthy)
	team.before = team.production.Contents()
	return team
}

// repositoryOf returns a Repository object whose intervals are one second.
func repositoryOf(name, url string) *v1alpha1.Repository {
	second := metav1.Duration{Duration: time.Second}
	health := v1alpha1.Health{Timeout: metav1.Duration{Duration: time.Minute}, ImagePullGrace: second}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: url, Poll: "@every 1s", GoneAfter: second,
		Environments: []v1alpha1.Entry{
			{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "k8s", Namespace: name, Health: health},
			{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: "k8s", Namespace: name + "-${BRANCH_SLUG}", Health: health},
		},
	}}
	repository.Name = name
	return repository
}

// application returns the files of production.
func application() map[string]string {
	return map[string]string{"k8s/app.yaml": `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {HOST: posts.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 1
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: registry.example.com/api:1}]}
`}
}

// An attempt is a branch whose author wants access that they do not have.
type attempt struct {
	// name is also the name of the branch.
	name string
	// files are the files that the branch adds to main's.
	files map[string]string
	// refused are texts of the refusal, which happens before any write for the commit.
	refused []string
}

// attempts pushes a branch for every row. It checks that the refusal has these texts, and that production was not
// affected.
func attempts(t *testing.T, name string, rows []attempt) {
	t.Helper()
	team := begins(t, name)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			branch := team.in(t).pushes(strings.ReplaceAll(row.name, " ", "-"), row.files)
			branch.isRefused(row.refused...)
			team.in(t).felt()
		})
	}
}

// in returns the team for a subtest.
func (team team) in(t *testing.T) *team {
	team.t, team.Repository = t, team.With(t)
	team.production = team.Environment("main")
	return &team
}

// removed returns the removal of a file.
func removed(path string) gittest.Change { return gittest.Remove(path) }

// felt fails the test unless production is healthy and unchanged: none of its objects was written or deleted.
func (team *team) felt() {
	team.t.Helper()
	team.production.Becomes("Healthy", team.healthy)
	if changed := team.before.Changed(team.production.Contents()); len(changed) > 0 {
		team.t.Errorf("production felt it: %q", changed)
	}
}

// A branch is an attacker's branch, with its environment.
type branch struct {
	*world.Environment
	t      *testing.T
	commit string
}

// pushes creates a branch at main, with more files.
func (team *team) pushes(name string, files map[string]string) branch {
	team.t.Helper()
	commit := team.git.CommitFrom("main", name, files, "try "+name)
	return branch{Environment: team.Environment(name), t: team.t, commit: commit}
}

// isRefused waits until the branch's environment has failed with all of the texts in its message.
func (b branch) isRefused(texts ...string) {
	b.t.Helper()
	b.Becomes("Failed", b.commit, texts...)
}

// isHealthy waits until the branch's environment is healthy.
func (b branch) isHealthy() { b.t.Helper(); b.Becomes("Healthy", b.commit) }

// lasting is a test whose context lasts until its cleanup has finished.
type lasting struct{ *testing.T }

func (lasting) Context() context.Context { return context.Background() }

// gone returns the objects of a namespace that no longer exist.
func (team *team) gone() (names []string) {
	team.t.Helper()
	for name := range team.before {
		if object, there := team.production.Find(name); !there || object.GetDeletionTimestamp() != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// client returns a client with all rights. Attempts use it for what the branch's own account could do in its namespace.
func (team *team) client() dynamic.Interface {
	team.t.Helper()
	client, err := dynamic.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		team.t.Fatal(err)
	}
	return client
}

// writesEnvironment creates an Environment object.
func (team *team) writesEnvironment(manifest string) {
	team.t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &object.Object); err != nil {
		team.t.Fatal(err)
	}
	environments := schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: "environments"}
	if _, err := team.client().Resource(environments).Namespace(deploy.Namespace).Create(team.t.Context(), object, metav1.CreateOptions{}); err != nil {
		team.t.Fatal(err)
	}
}
