package clustertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// get sends a request to an API server and returns the status code.
func get(t *testing.T, config *rest.Config, path string) int {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// eventually fails the test if look does not become true within a minute.
func eventually(t *testing.T, what string, look func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !look() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("it did not happen that %s", what)
		}
	}
}

// processes returns the process ids of a cluster's parts.
func processes(t *testing.T, c *Cluster) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.Dir(), "*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		id, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// gone reports whether a process has ended. A zombie has.
func gone(id int) bool {
	if syscall.Kill(id, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

func TestAccountsHaveTheirOwnRights(t *testing.T) {
	t.Parallel()
	cluster := Start(t, Config{APIServerOnly: true, Audit: true})
	namespace := cluster.Namespace(t)
	if other := cluster.Namespace(t); other == namespace {
		t.Fatalf("two namespaces are both called %s", other)
	}
	accounts := "/api/v1/namespaces/" + namespace + "/serviceaccounts"
	agent := object{APIVersion: "v1", Kind: "ServiceAccount", Metadata: metadata{Name: "agent"}}
	if err := cluster.post(t.Context(), accounts, agent, &object{}); err != nil {
		t.Fatal(err)
	}
	config, err := cluster.ConfigFor(t.Context(), namespace, "agent")
	if err != nil {
		t.Fatal(err)
	}
	path, err := cluster.KubeconfigFor(t.Context(), namespace, "agent")
	if err != nil {
		t.Fatal(err)
	}
	fromFile, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, config := range []*rest.Config{config, fromFile} {
		if got := get(t, config, accounts); got != http.StatusForbidden {
			t.Errorf("the account gets status %d, want 403", got)
		}
	}
	if got := get(t, cluster.RESTConfig(), accounts); got != http.StatusOK {
		t.Errorf("the administrator gets status %d, want 200", got)
	}
	if _, err := cluster.ConfigFor(t.Context(), namespace, "outsider"); err == nil {
		t.Error("an account that does not exist has a token")
	}

	eventually(t, "the requests are in the audit log", func() bool {
		requests, err := cluster.Requests(began)
		if err != nil {
			t.Fatal(err)
		}
		answers := map[string]int{}
		for _, request := range requests {
			if request.Verb == "list" && request.Resource == "serviceaccounts" && request.Namespace == namespace {
				answers[fmt.Sprint(request.User, " ", request.Status)]++
			}
		}
		return answers["system:serviceaccount:"+namespace+":agent 403"] == 2 && answers["admin 200"] == 1
	})
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	cluster, err := Run(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	parts := processes(t, cluster)
	if len(parts) != 4 {
		t.Errorf("%d parts run, want 4", len(parts))
	}
	cluster.Stop()
	for _, id := range parts {
		if !gone(id) {
			t.Errorf("process %d still runs", id)
		}
	}
	if _, err := os.Stat(cluster.Dir()); !os.IsNotExist(err) {
		t.Errorf("the temporary directory %s is still there", cluster.Dir())
	}
}

func TestPartsDieWithTheirCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cluster := Start(t, Config{Dir: dir, APIServerOnly: true})
	parts := processes(t, cluster)
	killCluster(t, dir)
	for _, id := range parts {
		eventually(t, "a part ends with its killed cluster", func() bool { return gone(id) })
	}
}

func killCluster(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "cluster.lock"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestACrashedPartComesBack(t *testing.T) {
	t.Parallel()
	cluster := Start(t, Config{APIServerOnly: true})
	namespace := cluster.Namespace(t)
	if err := syscall.Kill(processes(t, cluster)[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server answers again, from the same data", func() bool {
		client, err := rest.HTTPClientFor(cluster.RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Get(cluster.RESTConfig().Host + "/api/v1/namespaces/" + namespace)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func TestUpAndDown(t *testing.T) {
	t.Parallel()
	config := Config{Dir: filepath.Join(t.TempDir(), "cluster"), APIServerOnly: true}
	var progress bytes.Buffer
	cluster, err := Up(t.Context(), config, &progress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Down(context.Background(), config.Dir); err != nil {
			t.Error(err)
		}
	})
	again, err := Up(t.Context(), config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.RESTConfig().Host, cluster.RESTConfig().Host; got != want {
		t.Errorf("a second Up started another cluster at %s beside %s", got, want)
	}
	if _, err := Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), "a cluster runs there") {
		t.Errorf("Run in the directory of a running cluster: %v", err)
	}
	if got := get(t, cluster.RESTConfig(), "/readyz"); got != http.StatusOK {
		t.Errorf("the cluster answers %d", got)
	}
	if err := Down(t.Context(), config.Dir); err != nil {
		t.Fatal(err)
	}
	for _, id := range processes(t, cluster) {
		if !gone(id) {
			t.Errorf("process %d still runs after Down", id)
		}
	}
	if err := Down(t.Context(), config.Dir); err != nil {
		t.Errorf("a second Down: %v", err)
	}
}
