package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/preview"
	"berth.dev/berth/reconciler/stores"
	"berth.dev/berth/source"
)

// gitCredentials reads the Secret that a Repository names, with the entries that Flux uses too.
func gitCredentials(c client.Reader) stores.Credentials {
	return func(ctx context.Context, repo *v1alpha1.Repository) (source.Credentials, error) {
		if repo.Spec.SecretRef == nil {
			return source.Credentials{}, nil
		}
		name := repo.Spec.SecretRef.Name
		var secret corev1.Secret
		if err := c.Get(ctx, types.NamespacedName{Namespace: repo.Namespace, Name: name}, &secret); err != nil {
			cause := err.Error()
			if apierrors.IsNotFound(err) {
				cause = "there is no such Secret in the namespace " + repo.Namespace
			}
			return source.Credentials{}, &source.Error{Reason: source.Unauthorized, Op: fmt.Sprintf("read the credentials from Secret/%s", name), Cause: cause,
				Hint: "create it with username and password, bearerToken, or identity and known_hosts", Err: err}
		}
		if !slices.ContainsFunc(gitEntries, func(entry string) bool { return len(secret.Data[entry]) > 0 }) {
			return source.Credentials{}, &source.Error{Reason: source.Unauthorized, Op: fmt.Sprintf("read the credentials from Secret/%s", name),
				Cause: "it has none of the entries " + strings.Join(gitEntries, ", "),
				Hint:  "give it username and password, bearerToken, or identity and known_hosts"}
		}
		return source.Credentials{
			Username:    oneLine(secret.Data["username"]),
			Password:    oneLine(secret.Data["password"]),
			BearerToken: oneLine(secret.Data["bearerToken"]),
			Identity:    secret.Data["identity"],
			KnownHosts:  secret.Data["known_hosts"],
			CA:          secret.Data["ca.crt"],
		}, nil
	}
}

// gitEntries are those that a Secret with a Git server's credentials may have.
var gitEntries = []string{"username", "password", "bearerToken", "identity", "known_hosts", "ca.crt"}

// oneLine leaves out the line's end that echo and editors put after a password.
func oneLine(value []byte) string { return strings.TrimRight(string(value), "\r\n") }

// secretsOf reads the Secrets that entries copy.
func secretsOf(c client.Reader) preview.Secrets {
	return func(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
		secret := &corev1.Secret{}
		return secret, c.Get(ctx, name, secret)
	}
}

// installation is what tells this Berth from others on the same cluster.
type installation struct {
	id        string
	digestKey []byte
}

// installationSecret holds the installation's id; with another id, what runs would be a stranger's.
const installationSecret = "berth-installation"

// ensureInstallation reads the installation's id, and makes one the first time.
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
		return installation{}, fmt.Errorf("reading the installation's id from Secret/%s: it has no id or no digest-key; put them back, for with another id all that runs would count as a stranger's", installationSecret)
	}
	return i, nil
}

// randomText returns n random lower-case letters and digits.
func randomText(n int) string {
	random := make([]byte, n)
	_, _ = rand.Read(random) // never fails: it ends the program instead
	return strings.ToLower(base32.StdEncoding.EncodeToString(random))[:n]
}
