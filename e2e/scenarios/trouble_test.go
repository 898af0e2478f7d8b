package scenarios

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"

	"berth.dev/berth/e2e/world"
)

// The API server dies while the agent runs, and comes back. Not parallel, because it affects all scenarios.
func TestTheAPIServerIsAwayForAWhile(t *testing.T) {
	posts := begins(t, "dark")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	production.Patch("Deployment/worker", `{"spec":{"replicas":5}}`)

	before := apiServer(t)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	commit := posts.pushes("main", code("while the API server was away"))
	world.Await(t, "the API server is back", func() (string, bool) {
		err := ready(t)
		return fmt.Sprint(err), err == nil && apiServer(t) != before
	})
	production.Becomes("Healthy", commit)
	production.AwaitObject("Deployment/worker", "has Git's number of replicas", func(o world.Object) bool { return o.Field("spec.replicas") == "2" })
	production.Patch("ConfigMap/common", `{"data":{"HOST":"by.hand"}}`)
	production.AwaitObject("ConfigMap/common", "is put back", func(o world.Object) bool { return o.Field("data.HOST") == "posts.example.com" })
}

// The server of one aggregated API is down. Its kinds are unknown, and nothing else is affected. Not parallel, because
// all scenarios see it.
func TestTheServerOfOneAPIIsAway(t *testing.T) {
	posts := begins(t, "aggregated")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	back := installs(t, `apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.absent.example.com}
spec:
  group: absent.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: nobody, namespace: default}
`)
	posts.pushes("main", with(code("meanwhile"), "k8s/metric.yaml", "apiVersion: absent.example.com/v1\nkind: Metric\nmetadata: {name: mine}\n"))
	production.AwaitUnhealthy("Metric/mine", "cannot find out whether the kind Metric.absent.example.com is served: the server of its API does not answer")
	side := posts.Environment("side")
	side.Becomes("Healthy", posts.branches("side", map[string]string{"k8s/metric.yaml": configMap("in-its-place", "A: b")}))
	side.Patch("Deployment/worker", `{"spec":{"replicas":5}}`)
	side.AwaitObject("Deployment/worker", "is put back", func(o world.Object) bool { return o.Field("spec.replicas") == "1" })
	production.Becomes("Healthy", posts.removes("main", "k8s/metric.yaml"))
	back()
}

// apiServer returns the process id of the API server, or 0 if it does not run.
func apiServer(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(shared.Cluster.Dir(), "kube-apiserver.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func ready(t *testing.T) error {
	t.Helper()
	config := shared.Cluster.RESTConfig()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Get(config.Host + "/readyz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}
