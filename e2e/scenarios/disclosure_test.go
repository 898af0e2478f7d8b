package scenarios

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/e2e/world"
)

// planted are the values that must not be disclosed: the lines of encrypted files, their key, and the credentials of
// Git, webhooks and Vault. They are too unusual to occur anywhere by chance.
var planted = []string{
	"review-password-of-no-use-anywhere", "review-key-of-no-use-anywhere",
	`planted "password" & <odd> signs+/=`, "-----BEGIN PLANTED KEY-----",
	"cGxhbnRlZC1saW5lLW9uZS1vZi10aGUta2V5", "cGxhbnRlZC1saW5lLXR3by1vZi10aGUta2V5",
	"AGE-SECRET-KEY-1L8Z5A47D47Z4LR2SARWYC87Q79",
	plantedGit, plantedHook, plantedVault,
}

const (
	plantedGit   = "planted-password-of-git/+?"
	plantedHook  = "planted-token-of-webhooks"
	plantedVault = "hvs.planted-token-of-vault"
)

// forms returns the forms in which a value may appear in a text.
func forms(value string) []string {
	quoted, _ := json.Marshal(value)
	all := []string{
		value, url.QueryEscape(value), url.PathEscape(value),
		strings.Trim(string(quoted), `"`), strings.ReplaceAll(value, `"`, `\"`), strings.Trim(fmt.Sprintf("%+q", value), `"`),
	}
	for from := range 3 {
		// Within a longer text, base64 has one of three forms; their ends depend on the surrounding text.
		inner := []byte(value[from : from+(len(value)-from)/3*3])
		all = append(all, base64.StdEncoding.EncodeToString(inner), base64.URLEncoding.EncodeToString(inner))
	}
	return all
}

// discloses fails the test if a text contains a planted value.
func discloses(t *testing.T, what, text string) {
	t.Helper()
	text += strings.ReplaceAll(text, `\`, "") // text that was quoted more than once
	for _, value := range planted {
		for _, form := range forms(value) {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s holds %q: …%s…", what, value, text[max(0, at-200):min(len(text), at+200)])
				break
			}
		}
	}
}

func decoded(text string) string {
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return string(content)
}

// looksThroughFiles checks all files of a folder, and returns their number.
func looksThroughFiles(t *testing.T, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it has been deleted meanwhile
		}
		if content, err := os.ReadFile(name); err == nil {
			discloses(t, name, string(content))
			files++
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// looksThroughProcesses checks what other processes can see of the agent and its children: their arguments and their
// environments, which must not hold a key either. One of them has just decrypted. It looks again if one ends meanwhile.
func looksThroughProcesses(t *testing.T) {
	t.Helper()
	world.Await(t, "what decrypts is seen with its environment", func() (string, bool) {
		workers, environments := looksAtProcesses(t)
		seen := workers > 0 && (environments == workers || os.Getuid() != 0) // only root can read their environments
		return fmt.Sprintf("%d processes that decrypt, and the environments of %d", workers, environments), seen
	})
}

// looksAtProcesses counts the processes that decrypt, and their environments.
func looksAtProcesses(t *testing.T) (workers, environments int) {
	t.Helper()
	for _, pid := range append(shared.Agent.Children(), shared.Agent.PID()) {
		for _, name := range []string{"cmdline", "environ"} {
			content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err != nil {
				continue // it has ended, or cannot be read
			}
			if strings.HasPrefix(string(content), "HOME=/nonexistent\x00") {
				environments++
			}
			what := fmt.Sprintf("the %s of process %d", name, pid)
			discloses(t, what, string(content))
			if strings.Contains(string(content), "AGE-SECRET-KEY") || strings.Contains(string(content), plantedVault) {
				t.Errorf("%s has a key: %q", what, content)
			}
			if name == "cmdline" && strings.Contains(string(content), "berth-sops") {
				workers++
			}
		}
	}
	return workers, environments
}

// looksThroughRequests checks the URLs of all requests to the API server since a time. The API server's answers do not
// matter.
func looksThroughRequests(t *testing.T, since time.Time) {
	t.Helper()
	requests, err := shared.Cluster.Requests(since)
	if err != nil || len(requests) == 0 {
		t.Errorf("%d requests: %v", len(requests), err)
	}
	for _, r := range requests {
		discloses(t, "a request", r.URI)
	}
}

// looksThroughPage checks a page that the agent serves, and that must contain a text.
func looksThroughPage(t *testing.T, page, with string) {
	t.Helper()
	text := reads(t, page)
	if !strings.Contains(text, with) {
		t.Fatalf("%s is %.100q", page, text)
	}
	discloses(t, page, text)
}

// reads returns a page that the agent serves.
func reads(t *testing.T, page string) string {
	t.Helper()
	response, err := http.Get("http://" + page)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// looksThroughCluster checks every object of every kind, with records unpacked, except for the Secrets that may hold
// planted values, given as "namespace/name". Together these hold all values, so the search knows what it looks for.
func looksThroughCluster(t *testing.T, may map[string]bool) {
	t.Helper()
	config := shared.Cluster.RESTConfig()
	finder, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := finder.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	objects, seen := 0, map[string]bool{}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range list.APIResources {
			if !strings.Contains(resource.Verbs.String(), "list") {
				continue
			}
			found, err := client.Resource(version.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Logf("cannot list %s: %v", resource.Name, err)
				continue
			}
			for i := range found.Items {
				objects++
				looksAt(t, &found.Items[i], may, seen)
			}
		}
	}
	if objects < 100 || len(seen) != len(planted) {
		t.Errorf("looked at %d objects only, and where values may be, found %d of %d", objects, len(seen), len(planted))
	}
}

// looksAt checks an object. It adds the values of a Secret that may hold them to seen.
func looksAt(t *testing.T, o *unstructured.Unstructured, may, seen map[string]bool) {
	t.Helper()
	name := o.GetNamespace() + "/" + o.GetName()
	if o.GetKind() == "Secret" && may[name] {
		data, _, _ := unstructured.NestedStringMap(o.Object, "data")
		for _, content := range data {
			for _, value := range planted {
				if strings.Contains(decoded(content), value) {
					seen[value] = true
				}
			}
		}
		unstructured.RemoveNestedField(o.Object, "data")
	}
	text, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	discloses(t, o.GetKind()+" "+name, string(text))
	if o.GetKind() != "Secret" {
		return
	}
	data, _, _ := unstructured.NestedStringMap(o.Object, "data")
	for key, value := range data {
		content := decoded(value)
		if reader, err := gzip.NewReader(strings.NewReader(content)); err == nil {
			unpacked, _ := io.ReadAll(reader)
			content = string(unpacked)
		}
		discloses(t, "Secret "+name+" "+key, content)
	}
}
