package node_test

import (
	"context"
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

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/node"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// shared is a cluster whose node is this machine, with Berth as the Pod that deploy/ describes.
var shared *world.World

// binary runs that cluster.
var binary = filepath.Join("..", "..", ".build", "node")

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

func run(m *testing.M) int {
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
	return m.Run()
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
	home := filepath.Join(dir, "cluster")
	cluster, err := clustertest.Run(ctx, clustertest.Config{Dir: home, Binary: binary, Flags: []string{"--pause", programs["pause"]}})
	if err != nil {
		return nil, err
	}
	images := []node.Image{
		{Name: appImage, User: "65532:65532", Entrypoint: []string{"/app"}, Programs: map[string]string{"app": programs["app"]}},
		{
			// The image resembles that of the Dockerfile, as far as it matters here.
			Name: agentImage, User: "65532:65532", Entrypoint: []string{"/usr/local/bin/berth"},
			Programs: map[string]string{"usr/local/bin/berth": programs["berth"], "usr/local/bin/berth-sops": programs["berth-sops"]},
			Files:    map[string]string{"etc/passwd": "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n", "etc/group": "nonroot:x:65532:\n"},
		},
	}
	for _, image := range images {
		err = errors.Join(err, node.Import(ctx, home, image))
	}
	var w *world.World
	if err == nil {
		w, err = world.New(ctx, world.Config{Cluster: cluster, Image: agentImage})
	}
	if err != nil {
		cluster.Stop()
	}
	return w, err
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

func begins(t *testing.T, name string) *team {
	t.Helper()
	if missing != "" {
		t.Skip(missing)
	}
	server := gittest.Serve(t, gittest.Config{Dir: t.TempDir(), Address: node.Address + ":0"})
	t.Cleanup(server.Close)
	git := server.Repository(name)
	entry := func(name, namespace string, branches ...v1alpha1.BranchPattern) v1alpha1.Entry {
		return v1alpha1.Entry{Name: name, Branches: branches, Path: "k8s", Namespace: namespace,
			Health: v1alpha1.Health{Timeout: metav1.Duration{Duration: 3 * time.Minute}, OnFailure: v1alpha1.FailureRollback}}
	}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: git.URL(), Poll: "@every 1s",
		Environments: []v1alpha1.Entry{entry("production", name, "main"), entry("review", name+"-${BRANCH_SLUG}", "**", "!main")},
	}}
	repository.Name = name
	team := &team{git: git, Repository: shared.Follow(reporter{t}, repository)}
	t.Cleanup(func() {
		if t.Failed() {
			team.Explain()
		}
		team.Remove()
	})
	return team
}

// reporter lets cleanups use the cluster, because the context of a test ends before its cleanups.
type reporter struct{ *testing.T }

func (reporter) Context() context.Context { return context.Background() }

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

const probe = "        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}\n"

func TestTheAgentRunsAsThePodThatDeployDescribes(t *testing.T) {
	posts := begins(t, "posts")
	production := posts.Environment("main")
	healthy := posts.pushes("main", deployment("serve", probe))
	production.BecomesWithin(limit, "Healthy", healthy)

	bad := posts.pushes("main", deployment(`exit, "7"`, ""))
	after := production.BecomesWithin(limit, "RolledBack", bad, "Deployment/api", "container api exited with code 7, restarted again and again")
	if after.Status.HealthyCommit != healthy {
		t.Errorf("healthy is %.8s, want %.8s", after.Status.HealthyCommit, healthy)
	}
	production.BecomesWithin(limit, "Healthy", posts.pushes("main", deployment("work", "")))
}

// These messages come only from a real kubelet.
func TestWhatAKubeletTells(t *testing.T) {
	posts := begins(t, "told")
	posts.Environment("main").BecomesWithin(limit, "Healthy", posts.pushes("main", deployment("serve", probe)))
	const job = `apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: ` + appImage + `, args: [work], securityContext: {privileged: true}}]
`
	const claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	for _, test := range []struct {
		branch, manifest, reason string
		says                     []string
	}{
		{"exits-well", deployment(`exit, "0"`, ""), "Failed", []string{"container api exited with code 0 but is meant to keep running, restarted again and again"}},
		{"out-of-memory", deployment("eat", "        resources: {limits: {memory: 32Mi}}\n"), "Failed", []string{"container api was killed because it used more memory than its limit (OOMKilled)"}},
		{"wrong-liveness-port", deployment("serve", probe+"        livenessProbe: {httpGet: {path: /, port: 9999}, periodSeconds: 1, failureThreshold: 2}\n"), "Failed", []string{"restarted again and again", "its liveness probe failed", "connection refused"}},
		{"no-config", deployment("serve", probe+"        volumeMounts: [{name: c, mountPath: /etc/app}]\n      volumes: [{name: c, configMap: {name: absent}}]\n"), "Syncing", []string{`FailedMount: MountVolume.SetUp failed for volume "c" : configmap "absent" not found`}},
		{"never-ready", deployment("serve", "        readinessProbe: {httpGet: {path: /nowhere, port: 8080}, periodSeconds: 1}\n"), "Syncing", []string{"container api is not ready: readiness probe failed: HTTP probe failed with statuscode: 404"}},
		{"no-class", deployment("serve", probe+"        volumeMounts: [{name: d, mountPath: /data}]\n      volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]\n") + claim, "Syncing", []string{`PersistentVolumeClaim/data: storageclass.storage.k8s.io "fast" not found`}},
		{"refused", job, "Failed", []string{`Job/migrate: 0 of 1 completed; cannot create pods: violates PodSecurity "baseline:latest"`}},
	} {
		commit := posts.git.CommitFrom("main", test.branch, map[string]string{"k8s/app.yaml": test.manifest}, test.branch)
		t.Run(test.branch, func(t *testing.T) {
			t.Parallel() // the kubelet waits between restarts
			posts.With(reporter{t}).Environment(test.branch).BecomesWithin(limit, test.reason, commit, test.says...)
		})
	}
}
