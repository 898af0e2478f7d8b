package forge_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/forge"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/loopback"
)

// missing says why there is no Gitea, and every test is skipped with it.
const missing = "no Gitea: say in the environment variable GITEA where the program is; for one that is built without bindata, GITEA_ASSETS is the folder with its templates"

// shared is a control plane with the agent, and gitea the server. Deliveries reach the agent through the recorder.
var (
	shared   *world.World
	gitea    *forge.Gitea
	recorder *forge.Recorder
	// images is a registry that the agent may ask without TLS.
	images string
)

// recordTo is the folder for recorded deliveries, which the tests of source/webhook use.
var recordTo = flag.String("record", "", "folder to record deliveries to")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	binary := os.Getenv("GITEA")
	if binary == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "berth-forge-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = begin(context.Background(), dir, binary)
	}
	defer end()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// begin starts Gitea, a control plane, and an agent that receives webhooks.
func begin(ctx context.Context, dir, binary string) error {
	program, err := world.Build(dir)
	if err != nil {
		return err
	}
	hooks, err := loopback.Claim()
	if err != nil {
		return err
	}
	if images, err = loopback.Claim(); err != nil {
		return err
	}
	recorder = forge.Record(hooks)
	if gitea, err = forge.Start(ctx, forge.Config{Binary: binary, Assets: os.Getenv("GITEA_ASSETS"), Dir: filepath.Join(dir, "gitea")}); err != nil {
		return err
	}
	cluster, err := clustertest.Run(ctx, clustertest.Config{Dir: filepath.Join(dir, "cluster")})
	if err != nil {
		return err
	}
	shared, err = world.New(ctx, world.Config{Cluster: cluster, Dir: dir, Binary: program, Flags: []string{"--webhook-address", hooks, "--registry-insecure", images, "--log-level", "debug"}})
	if err != nil {
		cluster.Stop()
		return err
	}
	return shared.Agent.Start()
}

// end stops everything that begin started, even if begin failed.
func end() {
	if shared != nil {
		if err := shared.Agent.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		shared.Cluster.Stop()
	}
	if gitea != nil {
		gitea.Stop()
	}
	if recorder != nil {
		recorder.Close()
	}
}

// A team has a private Gitea repository. Berth follows it with a read-only token and receives its webhooks.
type team struct {
	*world.Repository
	forge *forge.Repository
}

const hookToken = "a-secret-of-hooks"

// begins starts a team whose repository is still empty. Its token has the scope that docs/git.md asks for.
func begins(t *testing.T, name string) *team { return beginsWith(t, name, "read:repository") }

// beginsWith is begins with a given token scope. The polls are too rare to happen during a test.
func beginsWith(t *testing.T, name, scope string) *team {
	t.Helper()
	if gitea == nil {
		t.Skip(missing)
	}
	token, err := gitea.Token(t.Context(), name, scope)
	if err != nil {
		t.Fatal(err)
	}
	team := &team{forge: gitea.Repository(t, name)}
	shared.SetSecret(reporter{t}, name+"-git", map[string]string{"password": token})
	shared.SetSecret(reporter{t}, name+"-hook", map[string]string{"token": hookToken})
	team.forge.Hook(forge.Hook{URL: recorder.URL("/hooks/" + name), ContentType: "json", Secret: hookToken})
	health := v1alpha1.Health{Timeout: metav1.Duration{Duration: time.Minute}}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: team.forge.URL(), Poll: "@every 1h", GoneAfter: metav1.Duration{Duration: time.Second},
		SecretRef: &v1alpha1.SecretReference{Name: name + "-git"},
		Webhook:   &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: name + "-hook"}},
		Environments: []v1alpha1.Entry{
			{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "k8s", Namespace: name, Health: health},
			{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: "k8s", Namespace: name + "-${BRANCH_SLUG}", Health: health},
		},
	}}
	repository.Name = name
	team.Repository = shared.Follow(reporter{t}, repository)
	t.Cleanup(func() {
		if t.Failed() {
			team.Explain()
		}
		team.Remove()
	})
	return team
}

// follows makes production follow another branch, which then has no preview.
func (team *team) follows(branch string) {
	entries := team.Get().Spec.Environments
	entries[0].Branches = []v1alpha1.BranchPattern{v1alpha1.BranchPattern(branch)}
	entries[1].Branches = []v1alpha1.BranchPattern{"**", v1alpha1.BranchPattern("!" + branch)}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"environments": entries}})
	if err != nil {
		panic(err)
	}
	team.Patch(string(patch))
}

// reporter is a test whose context lasts until its cleanup has finished.
type reporter struct{ *testing.T }

func (reporter) Context() context.Context { return context.Background() }

// application returns the files of an application that says a text.
func application(text string) map[string]string {
	return map[string]string{"k8s/app.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {text: "` + text + `"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers: [{name: api, image: registry.example.com/acme/app:1, readinessProbe: {httpGet: {path: /, port: 80}}}]
`}
}
