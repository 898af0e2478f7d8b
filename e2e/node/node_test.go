package node_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/node"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// shared is a cluster whose node is this machine, with Berth as the Pod that deploy/ describes.
var shared *world.World

// binary runs that cluster. program is the command berth.
var (
	binary  = filepath.Join("..", "..", ".build", "node")
	program string
)

// trusted is the certificate of HTTPS servers that the agent's image trusts.
var trusted tls.Certificate

// readyAfter is how long the cluster took from nothing to a ready node. imageSize is the size of the agent's image in bytes.
var (
	readyAfter time.Duration
	imageSize  counter
)

// counter counts the bytes that are written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

const (
	agentImage = "registry.example.com/infra/berth:test"
	appImage   = "registry.example.com/acme/app:1"
)

// missing says why there is no real node, and every test is skipped with it.
var missing string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// atOnce is how many scenarios run at the same time. They mostly wait for the kubelet.
const atOnce = "24"

func run(m *testing.M) int {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if missing = node.Missing(); missing == "" {
		if _, err := os.Stat(binary); err != nil {
			missing = "a real node needs " + binary + "; run: make node-binary"
		}
	}
	if missing != "" {
		return m.Run()
	}
	if !node.Inside() {
		code, err := node.Enter()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}
	dir, err := os.MkdirTemp("", "berth-node-")
	if err == nil {
		defer os.RemoveAll(dir)
		shared, err = begin(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Cluster.Stop()
	registry, err := serveRegistry(filepath.Join(dir, "app"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer registry.Close()
	return m.Run()
}

// The scenarios share one node, and most of their time is a kubelet's pauses. So they run at the same time. Then the agent's
// memory is measured, and in the end everything is uninstalled.
func TestBerthOnARealNode(t *testing.T) {
	if missing != "" {
		t.Skip(missing)
	}
	t.Logf("the node was ready after %s; the agent's image has %.1f MB in a registry", readyAfter.Round(100*time.Millisecond), float64(imageSize)/1e6)
	t.Run("together", func(t *testing.T) {
		for name, scenario := range map[string]func(*testing.T){
			"an application from its installation to its end": testLife,
			"a rollout that crashes is rolled back":           testRollback,
			"what a kubelet tells":                            testTold,
			"an image behind a password":                      testPrivateImage,
			"the agent's pod":                                 testAgent,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				scenario(t)
			})
		}
	})
	t.Run("the memory of the agent", testResources)
	t.Run("uninstalling leaves nothing", testUninstall)
}

// begin builds the programs of the containers, starts the cluster, and installs Berth.
func begin(ctx context.Context, dir string) (*world.World, error) {
	programs := map[string]string{}
	for name, of := range map[string]string{"pause": "./pause", "app": "./app", "berth": "../../cmd/berth", "berth-sops": "../../cmd/berth-sops"} {
		programs[name] = filepath.Join(dir, name)
		if err := build(of, programs[name]); err != nil {
			return nil, err
		}
	}
	program = programs["berth"]
	home := filepath.Join(dir, "cluster")
	began := time.Now()
	cluster, err := clustertest.Run(ctx, clustertest.Config{Dir: home, Binary: binary, Flags: []string{"--pause", programs["pause"]}})
	if err != nil {
		return nil, err
	}
	readyAfter = time.Since(began)
	trusted, err = newCertificate()
	files, failed := system(trusted)
	images := []node.Image{
		{Name: appImage, User: "65532:65532", Entrypoint: []string{"/app"}, Programs: map[string]string{"app": programs["app"]}},
		{
			// The image has the same files as that of the Dockerfile, with another certificate authority.
			Name: agentImage, User: "65532:65532", Entrypoint: []string{"/usr/local/bin/berth"},
			Programs: map[string]string{"usr/local/bin/berth": programs["berth"], "usr/local/bin/berth-sops": programs["berth-sops"]},
			Files:    files,
		},
	}
	err = errors.Join(err, failed)
	for _, image := range images {
		err = errors.Join(err, node.Import(ctx, home, image))
	}
	err = errors.Join(err, measure(images[1]))
	var w *world.World
	if err == nil {
		w, err = world.New(ctx, world.Config{Cluster: cluster, Image: agentImage})
	}
	if err != nil {
		cluster.Stop()
	}
	return w, err
}

// measure sets imageSize. Registries hold images compressed.
func measure(image node.Image) error {
	compressed := gzip.NewWriter(&imageSize)
	return errors.Join(image.Write(compressed), compressed.Close())
}

// build builds a static program of this repository.
func build(of, to string) error {
	command := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, ".")
	command.Dir, command.Env = of, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w: %s", of, err, output)
	}
	return nil
}

// team is a Git repository that Berth follows from inside its pod.
type team struct {
	*world.Repository
	git *gittest.Repository
}

// begins starts a team whose main is production. Settings change its Repository.
func begins(t *testing.T, name string, settings ...func(*v1alpha1.Repository)) *team {
	t.Helper()
	server := gittest.Serve(t, gittest.Config{Dir: t.TempDir(), Address: node.Address + ":0"})
	t.Cleanup(server.Close)
	git := server.Repository(name)
	entry := func(name, namespace string, branches ...v1alpha1.BranchPattern) v1alpha1.Entry {
		return v1alpha1.Entry{Name: name, Branches: branches, Path: "k8s", Namespace: namespace,
			Health: v1alpha1.Health{Timeout: metav1.Duration{Duration: 3 * time.Minute}, OnFailure: v1alpha1.FailureRollback,
				ImagePullGrace: metav1.Duration{Duration: 2 * time.Second}}}
	}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: git.URL(), Poll: "@every 1s",
		Environments: []v1alpha1.Entry{entry("production", name, "main"), entry("review", name+"-${BRANCH_SLUG}", "**", "!main")},
	}}
	repository.Name = name
	for _, set := range settings {
		set(repository)
	}
	team := &team{git: git, Repository: shared.Follow(reporter{t}, repository)}
	t.Cleanup(func() {
		if t.Failed() {
			team.Explain()
		}
		team.Remove()
	})
	return team
}

// admin returns a client with all rights.
func admin(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// change changes the entries of the team's Repository.
func (team *team) change(t *testing.T, set func(*v1alpha1.Repository)) {
	t.Helper()
	repository := team.Get()
	set(repository)
	text, err := json.Marshal(map[string]any{"spec": map[string]any{"environments": repository.Spec.Environments}})
	if err != nil {
		t.Fatal(err)
	}
	team.Patch(string(text))
}

// reporter lets cleanups use the cluster, because the context of a test ends before its cleanups.
type reporter struct{ *testing.T }

func (reporter) Context() context.Context { return context.Background() }

// with returns the team for a subtest.
func (team *team) with(t *testing.T) *world.Repository { return team.With(reporter{t}) }

func (team *team) pushes(branch string, manifests ...string) string {
	return team.git.Commit(branch, map[string]string{"k8s/app.yaml": strings.Join(manifests, "---\n")}, "a change")
}

// limit is far longer than a few restarts take on a loaded machine.
const limit = 3 * time.Minute

// deployment returns a Deployment that runs the test's application with arguments, and more lines for its container.
func deployment(arguments, more string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: api
        image: ` + appImage + `
        args: [` + arguments + `]
` + more
}

// job returns a Job that runs the test's application once, with more lines for its pod.
func job(name, arguments, more string) string {
	return `apiVersion: batch/v1
kind: Job
metadata: {name: ` + name + `}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 2
      containers: [{name: ` + name + `, image: ` + appImage + `, args: [` + arguments + `]}]
` + more
}

const probe = "        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}\n"
