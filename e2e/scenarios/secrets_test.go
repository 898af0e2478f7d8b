package scenarios

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// What the example's Secret of previews says, and the key to it.
var planted = []string{"review-password-of-no-use-anywhere", "review-key-of-no-use-anywhere", "AGE-SECRET-KEY-1L8Z5A47D47Z4LR2SARWYC87Q79"}

const example = "../../examples/posts"

func TestSecretsAreNowhereButInTheirObjects(t *testing.T) {
	t.Parallel()
	key, secret := exampleFile(t, "berth/demo-keys/review.agekey"), exampleFile(t, "infra/review/secret.yaml")
	shared.SetSecret(reporter{t}, "sealed-keys", map[string]string{"age.agekey": key})
	posts := begins(t, "sealed", func(r *v1alpha1.Repository) {
		for i := range r.Spec.Environments {
			r.Spec.Environments[i].Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: "sealed-keys"}}
		}
	})
	commit := posts.pushes("main", with(application(), "k8s/secret.yaml", secret))
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)

	// A busy time: a correction, refusals, failures, and people who look.
	production.Patch("Secret/posts", `{"data":{"DB_PASSWORD":"b3RoZXI="}}`)
	production.AwaitObject("Secret/posts", "is put back", func(o world.Object) bool {
		return decoded(o.Field("data.DB_PASSWORD")) == planted[0]
	})
	broken := posts.pushes("main", map[string]string{"k8s/api.yaml": deployment("api", crashes) + service("api")})
	production.Becomes("Failed", broken)
	tampered := posts.pushes("main", map[string]string{"k8s/secret.yaml": strings.Replace(secret, "APP_KEY: ENC", "OTHER_KEY: ENC", 1)})
	production.Becomes("Failed", tampered, "k8s/secret.yaml", "it is not what was encrypted")
	stolen := posts.pushes("main", map[string]string{"k8s/secret.yaml": exampleFile(t, "infra/production/secret.yaml")})
	production.Becomes("Failed", stolen, "k8s/secret.yaml", "no key at hand decrypts it", "sops updatekeys")
	if got := decoded(production.Object("Secret/posts").Field("data.DB_PASSWORD")); got != planted[0] {
		t.Errorf("after refusals the Secret has %q", got)
	}
	described, err := exec.CommandContext(t.Context(), binary, "describe", "sealed.production.main", "--kubeconfig", shared.Cluster.Kubeconfig()).CombinedOutput()
	if len(described) == 0 {
		t.Errorf("berth describe says nothing: %v", err)
	}
	discloses(t, "berth describe", string(described))

	looksThroughFiles(t)
	looksThroughMetrics(t)
	looksThroughCluster(t, map[string]bool{"sealed/posts": true, "berth/sealed-keys": true})
}

func exampleFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(example, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func decoded(text string) string {
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return string(content)
}

// discloses fails the test if a text holds a planted secret, as it is or in base64.
func discloses(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range planted {
		for from := range 3 {
			// Within a longer text, base64 has one of three forms; their ends depend on what stands around.
			inner := secret[from : from+(len(secret)-from)/3*3]
			if strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(inner))) {
				t.Errorf("%s holds %q", what, secret)
				break
			}
		}
	}
}

// looksThroughFiles looks at all that the agent wrote: stores, log, temporary files.
func looksThroughFiles(t *testing.T) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(scratch, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // gone meanwhile
		}
		if content, err := os.ReadFile(name); err == nil {
			discloses(t, name, string(content))
			files++
		}
		return nil
	})
	if err != nil || files < 2 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}

func looksThroughMetrics(t *testing.T) {
	t.Helper()
	response, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || !bytes.Contains(text, []byte("berth_")) {
		t.Fatalf("the metrics are %.100q, %v", text, err)
	}
	discloses(t, "/metrics", string(text))
}

// looksThroughCluster looks at every object of every kind, records unpacked, but at those Secrets that may
// hold what is planted, "namespace/name".
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
	objects := 0
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
				looksAt(t, &found.Items[i], may)
			}
		}
	}
	if objects < 100 {
		t.Errorf("looked at %d objects only", objects)
	}
}

func looksAt(t *testing.T, o *unstructured.Unstructured, may map[string]bool) {
	t.Helper()
	name := o.GetNamespace() + "/" + o.GetName()
	if o.GetKind() == "Secret" && may[name] {
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
