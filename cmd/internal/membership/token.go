package membership

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"berth.dev/berth/deploy"
	"berth.dev/berth/reconciler/remote"
)

// A new token may need some time until the API server accepts it, and grants it its rights.
const (
	patience = 30 * time.Second
	pause    = 200 * time.Millisecond
)

// token is a token of the agent's account, and the Secret that it is bound to: it ends with the Secret.
type token struct {
	text  string
	bound string
}

// issue makes a new token of the account. It is valid for some time, or as long as the cluster allows; with 0, until its Secret
// is deleted.
func (t *There) issue(ctx context.Context, validity time.Duration) (token, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "berth-token-", Labels: map[string]string{partOf: product, labelToken: "true"},
	}}
	if validity == 0 {
		secret.Type, secret.Annotations = corev1.SecretTypeServiceAccountToken, map[string]string{corev1.ServiceAccountNameKey: deploy.ServiceAccount}
	}
	bound, err := t.Kubernetes.CoreV1().Secrets(t.Namespace).Create(ctx, secret, metav1.CreateOptions{})
	if err != nil {
		return token{}, t.explain(err)
	}
	if validity == 0 {
		text, err := t.await(ctx, bound.Name)
		return token{text, bound.Name}, err
	}
	seconds := int64(validity.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: bound.Name, UID: bound.UID},
	}}
	answer, err := t.Kubernetes.CoreV1().ServiceAccounts(t.Namespace).CreateToken(ctx, deploy.ServiceAccount, request, metav1.CreateOptions{})
	if err != nil {
		return token{}, fmt.Errorf("requesting a token of ServiceAccount/%s/%s: %w", t.Namespace, deploy.ServiceAccount, t.explain(err))
	}
	return token{answer.Status.Token, bound.Name}, nil
}

// await waits until the cluster has written the token into a Secret.
func (t *There) await(ctx context.Context, name string) (text string, err error) {
	err = wait.PollUntilContextTimeout(ctx, pause, patience, true, func(ctx context.Context) (bool, error) {
		secret, err := t.Kubernetes.CoreV1().Secrets(t.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, t.explain(err)
		}
		text = string(secret.Data[corev1.ServiceAccountTokenKey])
		return text != "", nil
	})
	if wait.Interrupted(err) {
		err = fmt.Errorf("%s in %s: the cluster has written no token into it for %s; request one that ends, with --expires", object("Secret", t.Namespace, name), t.Context, patience)
	}
	return text, err
}

// revoke ends all tokens of the account except one, and returns how many there were.
func (t *There) revoke(ctx context.Context, except string) (ended int, err error) {
	secrets := t.Kubernetes.CoreV1().Secrets(t.Namespace)
	list, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: labelToken})
	if err != nil {
		return 0, t.explain(err)
	}
	for i := range list.Items {
		name := list.Items[i].Name
		if name == except {
			continue
		}
		if err := secrets.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return ended, t.explain(err)
		}
		ended++
	}
	return ended, nil
}

// kubeconfig returns a kubeconfig with a token of the account.
func (t *There) kubeconfig(name, token string) ([]byte, error) {
	file := api.NewConfig()
	file.Clusters[name] = t.Address.DeepCopy()
	file.AuthInfos[deploy.ServiceAccount] = &api.AuthInfo{Token: token}
	file.Contexts[name] = &api.Context{Cluster: name, AuthInfo: deploy.ServiceAccount, Namespace: t.Namespace}
	file.CurrentContext = name
	return clientcmd.Write(*file)
}

// described returns the Secret of a cluster.
func (t *There) described(name, token string) (*corev1.Secret, error) {
	text, err := t.kubeconfig(name, token)
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{Data: map[string][]byte{remote.KeyValue: text}}
	secret.Name = name
	return secret, nil
}
