package environments

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

func TestCopies(t *testing.T) {
	env := apitest.Environment(apitest.Repository(), "review", "f0")
	entry := &v1alpha1.Entry{Name: "review", CopySecrets: []v1alpha1.SecretReference{{Name: "registry-pull"}}}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "registry-pull", Namespace: "berth", Labels: map[string]string{"owner": "ops"}, Finalizers: []string{"example.com/keep"}},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: []byte("{}")},
	}
	read := func(context.Context, types.NamespacedName) (*corev1.Secret, error) { return secret, nil }
	list, digest, err := copies(t.Context(), read, &env, entry)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %d copies, %v", len(list), err)
	}
	got := list[0]
	if got.Object.GetNamespace() != "posts-f0" || got.Object.GetLabels() != nil || got.Object.GetFinalizers() != nil || got.Object.Object["type"] != "kubernetes.io/dockerconfigjson" {
		t.Errorf("the copy is %v", got.Object.Object)
	}
	if got.Origin != "Secret berth/registry-pull (copied)" {
		t.Errorf("its origin is %q", got.Origin)
	}
	secret.Labels["owner"] = "others"
	if _, again, _ := copies(t.Context(), read, &env, entry); again != digest {
		t.Error("a change that is not copied counts as one")
	}
	secret.Data[corev1.DockerConfigJsonKey] = []byte(`{"auths":{}}`)
	if _, again, _ := copies(t.Context(), read, &env, entry); again == digest {
		t.Error("a change of the content does not count")
	}
	for want, cause := range map[string]error{
		"does not exist; create it": apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "registry-pull"),
		"cannot be read: no":        errors.New("no"),
	} {
		read := func(context.Context, types.NamespacedName) (*corev1.Secret, error) { return nil, cause }
		if _, _, err := copies(t.Context(), read, &env, entry); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}
