package forge_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
const missing = "no Gitea: make gitea-binary builds one; or set GITEA to the path of yours, and GITEA_ASSETS to the folder with its templates if it was built without bindata"

// built is the Gitea of make gitea-binary, and sources the module that it is built from.
const built, sources = "../../.build/gitea", "../gitea"

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
	ctx := context.Background()
	program, err := giteaOf(ctx)
	if program.Binary == "" && err == nil {
		return m.Run()
	}
	var dir string
	if err == nil {
		dir, err = os.MkdirTemp("", "berth-forge-")
	}
	if err == nil {
		defer os.RemoveAll(dir)
		err = begin(ctx, dir, program)
	}
	defer end()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// giteaOf returns the Gitea that the environment names, or else the one that was built here. Its templates are those of its
// module. Without one, the Config is zero.
func giteaOf(ctx context.Context) (forge.Config, error) {
	c := forge.Config{Binary: os.Getenv("GITEA"), Assets: os.Getenv("GITEA_ASSETS")}
	if c.Binary != "" {
		return c, nil
	}
	binary, err := filepath.Abs(built)
	if err != nil {
		return c, err
	}
	if _, err := os.Stat(binary); err != nil {
		return forge.Config{}, nil
	}
	c.Binary = binary
	if c.Assets == "" {
		folder, err := exec.CommandContext(ctx, "go", "list", "-C", sources, "-m", "-f", "{{.Dir}}", "code.gitea.io/gitea").Output()
		if err != nil {
			return c, fmt.Errorf("cannot find the sources of Gitea: %w; run make gitea-binary", err)
		}
		c.Assets = strings.TrimSpace(string(folder))
	}
	return c, nil
}

// begin starts Gitea, a control plane, and an agent that receives webhooks.
func begin(ctx context.Context, dir string, server forge.Config) error {
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
	server.Dir = filepath.Join(dir, "gitea")
	if gitea, err = forge.Start(ctx, server); err != nil {
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
