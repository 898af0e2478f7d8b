package scenarios

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// sellImages starts the registry of all scenarios at the address that the agent may ask without TLS. Images below private/ need
// a password.
func sellImages(address string) error {
	storage := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		if strings.HasPrefix(r.URL.Path, "/v2/private/") && r.Method != http.MethodPut && password != "s3cret" {
			w.Header().Set("WWW-Authenticate", "Basic realm=images")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		storage.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	return nil
}

// publish pushes an image, as a pipeline does.
func publish(t *testing.T, image string) {
	t.Helper()
	host, rest, _ := strings.Cut(image, "/")
	name, tag, _ := strings.Cut(rest, ":")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+host+"/v2/"+name+"/manifests/"+tag, strings.NewReader(`{"schemaVersion":2}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("publishing %s: %s", image, response.Status)
	}
}

// waitsForImages makes every entry wait for images.
func waitsForImages(n int) func(*v1alpha1.Repository) {
	return func(r *v1alpha1.Repository) {
		for i := range r.Spec.Environments {
			wait := seconds(n)
			r.Spec.Environments[i].WaitForImages = &wait
		}
	}
}

// runs returns the application with all its images replaced by one.
func runs(tag string) map[string]string {
	files := application()
	for name, content := range files {
		files[name] = strings.ReplaceAll(content, image, tag)
	}
	return files
}

func TestACommitWaitsForItsImage(t *testing.T) {
	t.Parallel()
	posts := begins(t, "awaits", waitsForImages(600))
	production := posts.Environment("main")
	first, second := registryAddress+"/awaits/app:1", registryAddress+"/awaits/app:2"
	publish(t, first)
	production.Becomes("Healthy", posts.pushes("main", runs(first)))

	began := time.Now()
	commit := posts.pushes("main", with(runs(second), "k8s/common.yaml", configMap("common", "HOST: new.example.com")))
	production.Becomes("Waiting", commit, "image "+second+" is not there yet")
	posts.expectWrites(began)
	if got := production.Object("Deployment/api").Image(); got != first {
		t.Errorf("the image is %s, want %s", got, first)
	}
	production.Patch("Deployment/api", `{"spec":{"replicas":5}}`)
	production.AwaitObject("Deployment/api", "is corrected meanwhile", func(o world.Object) bool { return o.Field("spec.replicas") == "2" })
	production.Becomes("Waiting", commit, "image "+second+" is not there yet")

	published := time.Now()
	publish(t, second)
	production.AwaitObject("Deployment/api", "has the new image", func(o world.Object) bool { return o.Image() == second })
	t.Logf("the rollout began within %s", time.Since(published).Round(10*time.Millisecond))
	production.Becomes("Healthy", commit)

	began = time.Now()
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/common.yaml": configMap("common", "HOST: newer.example.com")}))
	posts.expectWrites(began, "patch configmaps/common")
}

func TestAnImageThatNeverComes(t *testing.T) {
	t.Parallel()
	posts := begins(t, "never", waitsForImages(2), rollsBack)
	production := posts.Environment("main")
	first, second := registryAddress+"/never/app:1", registryAddress+"/never/app:2"
	publish(t, first)
	healthy := posts.pushes("main", runs(first))
	production.Becomes("Healthy", healthy)

	commit := posts.pushes("main", runs(second))
	failed := production.Becomes("Failed", commit, "nothing of this commit was applied: image "+second+" is not there after 2s", "berth retry never.production.main")
	if failed.Status.AppliedCommit != healthy || production.Object("Deployment/api").Image() != first {
		t.Errorf("the applied commit is %.8s, and the image %s", failed.Status.AppliedCommit, production.Object("Deployment/api").Image())
	}
	if got := failed.Status.History[0]; got.Commit != commit || got.Outcome != "Failed" {
		t.Errorf("the history begins with %+v", got)
	}
	publish(t, second)
	posts.says("main", "retry", "--no-wait")
	production.Becomes("Healthy", commit)
}

func TestAPreviewWaitsForItsFirstImage(t *testing.T) {
	t.Parallel()
	posts := begins(t, "unpublished", waitsForImages(600))
	app := registryAddress + "/unpublished/app:1"
	posts.pushes("main", map[string]string{"README.md": "Nothing yet.\n"})
	commit := posts.pushes("feature", runs(app))
	preview := posts.Environment("feature")
	preview.Becomes("Waiting", commit, "image "+app+" is not there yet")
	if _, there, err := shared.Namespace(t.Context(), preview.Namespace()); there || err != nil {
		t.Errorf("the namespace exists: %t, %v", there, err)
	}
	publish(t, app)
	preview.Becomes("Healthy", commit)
}

// pullSecret is a pull secret in Git.
func pullSecret(password string) string {
	auth := base64.StdEncoding.EncodeToString([]byte("berth:" + password))
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, registryAddress, auth)
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: pull}\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: '%s'\n", config)
}

func TestPullSecretsOfPrivateImages(t *testing.T) {
	t.Parallel()
	posts := begins(t, "pulls", waitsForImages(600))
	production := posts.Environment("main")
	app := registryAddress + "/private/app:1"
	files := runs(app)
	for _, name := range []string{"k8s/api.yaml", "k8s/worker.yaml", "k8s/migrate.yaml"} {
		files[name] = strings.ReplaceAll(files[name], "      containers:", "      imagePullSecrets: [{name: pull}]\n      containers:")
	}
	right := posts.pushes("main", with(files, "k8s/pull.yaml", pullSecret("s3cret")))
	production.Becomes("Waiting", right, "image "+app+" is not there yet")
	publish(t, app)
	production.Becomes("Healthy", right)

	other := registryAddress + "/private/app:2"
	for name, content := range files {
		files[name] = strings.ReplaceAll(content, app, other)
	}
	wrong := posts.pushes("main", with(files, "k8s/pull.yaml", pullSecret("wrong")))
	production.Becomes("Healthy", wrong)
	production.AwaitEvent("ImageUnchecked", "image "+other+" could not be checked, so the commit did not wait for it: "+registryAddress+" refuses the credentials in Secret/pull (401)")
}
