package node_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/node"
)

const (
	privateImage = node.Registry + "/private/app:1"
	puller       = "puller"
	password     = "swordfish"
)

// serveRegistry serves the test's application at node.Registry, to those who have the password. It has no other images.
func serveRegistry(app string) (io.Closer, error) {
	listener, err := net.Listen("tcp", node.Registry)
	if err != nil {
		return nil, fmt.Errorf("serving a registry: %w", err)
	}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	go http.Serve(listener, guarded(images))
	local, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return listener, err
	}
	defer local.Close()
	go http.Serve(local, images)
	return listener, push(local.Addr().String(), node.Image{
		Name: privateImage, User: "65532:65532", Entrypoint: []string{"/app"}, Programs: map[string]string{"app": app},
	})
}

// guarded asks for a password where the path of an image begins with private.
func guarded(images http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, secret, _ := r.BasicAuth()
		if strings.HasPrefix(r.URL.Path, "/v2/private/") && (user != puller || secret != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	})
}

// push stores an image in the registry at an address.
func push(address string, image node.Image) error {
	var archive bytes.Buffer
	if err := image.Write(&archive); err != nil {
		return err
	}
	content, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }, nil)
	if err != nil {
		return fmt.Errorf("reading the image %s: %w", image.Name, err)
	}
	ref, err := name.ParseReference(strings.Replace(image.Name, node.Registry, address, 1), name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(ref, content)
}

// An image behind a password is pulled once the entry copies the Secret for it. Until then, the message says that the
// registry refused.
func testPrivateImage(t *testing.T) {
	posts := begins(t, "private")
	manifest := strings.Replace(imaged(privateImage), "      containers:\n", "      imagePullSecrets: [{name: registry-pull}]\n      containers:\n", 1)
	commit := posts.pushes("main", manifest)
	production := posts.Environment("main")
	production.BecomesWithin(limit, "Failed", commit, privateImage, "401 Unauthorized")

	auth := base64.StdEncoding.EncodeToString([]byte(puller + ":" + password))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "registry-pull"}, Type: corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, node.Registry, auth)}}
	if _, err := admin(t).CoreV1().Secrets(deploy.Namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	posts.change(t, func(r *v1alpha1.Repository) {
		r.Spec.Environments[0].CopySecrets = []v1alpha1.SecretReference{{Name: "registry-pull"}}
	})
	production.BecomesWithin(limit, "Healthy", commit)
}
