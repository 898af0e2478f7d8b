package environments

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
)

// Secrets reads a Secret of the agent's namespace; implementations answer from memory.
type Secrets func(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error)

// copies returns the Secrets that an entry copies, as they go into an environment's namespace, and a digest of their
// content. The error names those that cannot be read.
func copies(ctx context.Context, read Secrets, env *v1alpha1.Environment, entry *v1alpha1.Entry) ([]reconciler.Copy, string, error) {
	list := make([]reconciler.Copy, 0, len(entry.CopySecrets))
	for _, ref := range entry.CopySecrets {
		secret, err := read(ctx, types.NamespacedName{Namespace: env.Namespace, Name: ref.Name})
		if apierrors.IsNotFound(err) {
			return nil, "", fmt.Errorf("the Secret %s/%s, which the entry %s copies, does not exist; create it, or remove it from copySecrets", env.Namespace, ref.Name, entry.Name)
		}
		if err != nil {
			return nil, "", fmt.Errorf("the Secret %s/%s, which the entry %s copies, cannot be read: %w", env.Namespace, ref.Name, entry.Name, err)
		}
		list = append(list, reconciler.Copy{Object: copyOf(secret, env.Spec.Namespace), Origin: fmt.Sprintf("Secret %s/%s (copied)", env.Namespace, ref.Name)})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(text)
	return list, hex.EncodeToString(sum[:]), nil
}

// copyOf returns a Secret with the same name, type and content in another namespace. It drops labels and owners, which only
// mean something in the source namespace.
func copyOf(secret *corev1.Secret, namespace string) *unstructured.Unstructured {
	data := make(map[string]any, len(secret.Data))
	for key, value := range secret.Data {
		data[key] = base64.StdEncoding.EncodeToString(value)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"type": string(secret.Type), "data": data}}
	u.SetAPIVersion("v1")
	u.SetKind("Secret")
	u.SetNamespace(namespace)
	u.SetName(secret.Name)
	return u
}
