package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/environments"
	"berth.dev/berth/reconciler/stores"
	"berth.dev/berth/source"
)

// GitCredentials reads the Secret that a Repository names, with the entries that Flux uses too.
func GitCredentials(c client.Reader) stores.Credentials {
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

// oneLine removes the line feed that echo and editors put after a password.
func oneLine(value []byte) string { return strings.TrimRight(string(value), "\r\n") }

// SecretsOf reads the Secrets that entries copy.
func SecretsOf(c client.Reader) environments.Secrets {
	return func(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
		secret := &corev1.Secret{}
		return secret, c.Get(ctx, name, secret)
	}
}
