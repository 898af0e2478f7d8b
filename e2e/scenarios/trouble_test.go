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

// The API server dies under the agent, and comes back. Not parallel: it does so for all.
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

// apiServer returns the process id of the API server; 0 while there is none.
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
