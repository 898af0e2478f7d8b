package agent

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// installation identifies this Berth among others on the same cluster.
type installation struct {
	id        string
	digestKey []byte
}

// installationSecret holds the installation's id. With a different id, the agent would not recognize its own objects.
const installationSecret = "berth-installation"

// ensureInstallation reads the installation's id, and creates it on the first start.
func ensureInstallation(ctx context.Context, secrets typedcorev1.SecretInterface) (installation, error) {
	secret, err := secrets.Get(ctx, installationSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		secret, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: installationSecret},
			Data:       map[string][]byte{"id": []byte(randomText(8)), "digest-key": []byte(randomText(52))},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			secret, err = secrets.Get(ctx, installationSecret, metav1.GetOptions{})
		}
	}
	if err != nil {
		return installation{}, fmt.Errorf("reading the installation's id from Secret/%s: %w", installationSecret, err)
	}
	i := installation{id: string(secret.Data["id"]), digestKey: secret.Data["digest-key"]}
	if i.id == "" || len(i.digestKey) == 0 {
		return installation{}, fmt.Errorf("reading the installation's id from Secret/%s: it has no id or no digest-key; restore them: with other values, the agent would not recognize its own objects", installationSecret)
	}
	return i, nil
}

// randomText returns n random lower-case letters and digits.
func randomText(n int) string {
	random := make([]byte, n)
	_, _ = rand.Read(random) // never fails: it ends the program instead
	return strings.ToLower(base32.StdEncoding.EncodeToString(random))[:n]
}
