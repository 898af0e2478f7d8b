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

// A team is a repository that Berth follows: main is production, and anybody can push any other branch, which
// gets an environment of its own.
type team struct {
	*world.Repository
	t          *testing.T
	server     *gittest.Server
	git        *gittest.Repository
	production *world.Environment
	// healthy is the commit that production runs, and before what it consisted of then.
	healthy string
	before  world.Contents
}

// begins starts a team whose production is healthy. The name is short, and no beginning of another's.
func begins(t *testing.T, name string, settings ...func(*v1alpha1.Repository)) *team {
	t.Helper()
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

// repositoryOf is that of an administrator in a hurry: everything that takes its time takes a second.
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

// application is what production runs.
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

// An attempt is a branch whose author wants access that they lack.
type attempt struct {
	// name is that of the branch, too.
	name string
	// files is what the branch has beside main's.
	files map[string]string
	// refused are texts of the refusal, which comes before anything of the commit is written.
	refused []string
}

// attempts pushes a branch for every row, and checks that it is refused in these words and that production felt
// nothing.
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

// in returns the team for a part of its test.
func (team team) in(t *testing.T) *team {
	team.t, team.Repository = t, team.With(t)
	team.production = team.Environment("main")
	return &team
}

// removed is the removal of a file.
func removed(path string) gittest.Change { return gittest.Remove(path) }

// felt fails the test unless production is what it was and healthy: nothing of it was written, or is gone.
func (team *team) felt() {
	team.t.Helper()
	team.production.Becomes("Healthy", team.healthy)
	if changed := team.before.Changed(team.production.Contents()); len(changed) > 0 {
		team.t.Errorf("production felt it: %q", changed)
	}
}

// a branch is one of somebody's, and its environment.
type branch struct {
	*world.Environment
	t      *testing.T
	commit string
}

// pushes begins a branch at main, with more files.
func (team *team) pushes(name string, files map[string]string) branch {
	team.t.Helper()
	commit := team.git.CommitFrom("main", name, files, "try "+name)
	return branch{Environment: team.Environment(name), t: team.t, commit: commit}
}

// isRefused waits until the branch's environment has failed with a message that has all of the texts.
func (b branch) isRefused(texts ...string) {
	b.t.Helper()
	b.Becomes("Failed", b.commit, texts...)
}

// isHealthy waits until the branch's environment runs.
func (b branch) isHealthy() { b.t.Helper(); b.Becomes("Healthy", b.commit) }

// lasting is a test whose context lasts until its cleanup is done.
type lasting struct{ *testing.T }

func (lasting) Context() context.Context { return context.Background() }

// gone returns which objects of a namespace are not there any more.
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

// client has all rights; attempts use it for what the branch's own account could do in its namespace.
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
