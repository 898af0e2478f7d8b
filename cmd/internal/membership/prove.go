package membership

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/remote"
)

// prove waits until the cluster accepts the token, at the address that the user has for it. It returns when the token ends.
func (a *Addition) prove(ctx context.Context, token string) (time.Time, error) {
	secret, err := a.There.described(a.Name, token)
	if err != nil {
		return time.Time{}, err
	}
	config, err := remote.Parse(secret)
	if err != nil {
		return time.Time{}, err
	}
	agent := rest.AnonymousClientConfig(a.There.REST)
	agent.BearerToken = token
	client, err := kubernetes.NewForConfig(agent)
	if err != nil {
		return time.Time{}, err
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, pause, patience, true, func(ctx context.Context) (bool, error) {
		_, last = remote.Identity(ctx, client.CoreV1())
		return last == nil, nil
	})
	if wait.Interrupted(err) && last != nil {
		err = fmt.Errorf("the cluster %s does not accept the new token: %w", a.There.Context, last)
	}
	return config.Expires, err
}

// trying is how long the agent's address may take to answer.
const trying = 10 * time.Second

// try reads the cluster as the agent will, at the address that the agent gets. The user may be in another network, so that a
// failure to connect is no error: unverified then says why.
func (a *Addition) try(ctx context.Context, token string) (unverified string, err error) {
	secret, err := a.There.described(a.Name, token)
	if err != nil {
		return "", err
	}
	config, err := remote.Parse(secret)
	if err != nil {
		return "", err
	}
	client, err := kubernetes.NewForConfig(config.REST)
	if err != nil {
		return "", err
	}
	limited, cancel := context.WithTimeout(ctx, trying)
	defer cancel()
	found, err := remote.Identity(limited, client.CoreV1())
	wrong := fmt.Sprintf("the address %s leads to another cluster than the context %s; correct --server", config.REST.Host, a.There.Context)
	failed, isURL := errors.AsType[*url.Error](err)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil && found != a.identity, apierrors.IsUnauthorized(err):
		return "", errors.New(wrong)
	case isURL && isCertificate(err):
		return "", fmt.Errorf("the address %s has a certificate that the kubeconfig does not accept: %w; correct --server, or name the certificate's name with --tls-server-name", config.REST.Host, failed.Err)
	case isURL:
		return failed.Err.Error(), nil
	}
	return "", err
}

// isCertificate reports whether an error is about the certificate of a server.
func isCertificate(err error) bool {
	_, wrongName := errors.AsType[x509.HostnameError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	return wrongName || unknown || invalid
}
