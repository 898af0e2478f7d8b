// Package membership adds other clusters to an installation, removes them, and reports how they are.
package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/installation"
	"berth.dev/berth/reconciler/remote"
)

// The marks of the Secret of a cluster, and of what the agent has there.
const (
	labelCluster = installation.LabelCluster
	// annotationIdentity is what identifies the cluster of a Secret.
	annotationIdentity = "berth.dev/cluster-identity"
	// annotationNamespace is the namespace of the agent's account in the cluster of a Secret.
	annotationNamespace = "berth.dev/cluster-namespace"
	// annotationHome is, on the namespace of an account, the id of the installation that uses the account.
	annotationHome = "berth.dev/home"
	// labelToken marks the Secrets that tokens of the account are bound to.
	labelToken = "berth.dev/cluster-token"
)

const (
	installationSecret = "berth-installation"
	partOf             = "app.kubernetes.io/part-of"
	product            = "berth"
)

// Place is how a user calls a cluster, for messages.
type Place struct {
	// Context is the context of the kubeconfig.
	Context string
	// Flags are those that select the cluster.
	Flags string
}

// Home is an installation, with the rights of a user.
type Home struct {
	Place
	// Server is the address of the API server.
	Server     string
	Client     client.Client
	Kubernetes kubernetes.Interface
	// Namespace is the agent's namespace.
	Namespace string
}

// There is another cluster, with the rights of a user.
type There struct {
	Place
	// REST is the user's connection.
	REST       *rest.Config
	Client     client.Client
	Kubernetes kubernetes.Interface
	Dynamic    dynamic.Interface
	// Address is how the agent reaches the cluster.
	Address api.Cluster
	// Namespace is the namespace of the agent's account; empty is where it is already, or else the name of the agent's namespace.
	Namespace string
}

// explain adds the place and the next step to an error of its API server or of the network.
func (p Place) explain(err error) error {
	unreachable, isUnreachable := errors.AsType[*url.Error](err)
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err):
		return fmt.Errorf("the cluster %s does not know Berth's kinds; install Berth there, or correct %s: %w", p.Context, p.Flags, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("in the cluster %s: %w; this needs the rights of a cluster administrator", p.Context, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the cluster %s does not accept the credentials of the kubeconfig; log in again, or correct %s: %w", p.Context, p.Flags, err)
	case isUnreachable && !errors.Is(err, context.Canceled):
		return fmt.Errorf("cannot reach the cluster %s: %w; check %s", p.Context, unreachable.Err, p.Flags)
	}
	return err
}

// Step is something that is done in one of the two clusters.
type Step struct {
	// Cluster is the context of the cluster.
	Cluster string `json:"cluster"`
	// Action is create, change, unchanged or keep; once a step is done, it is created, changed, kept or ended.
	Action string `json:"action"`
	Object string `json:"object"`
}

// object returns the name of an object for users: Kind/name, or Kind/namespace/name.
func object(parts ...string) string { return strings.Join(parts, "/") }

// installation returns the installation's id.
func (h *Home) installation(ctx context.Context) (string, error) {
	secret, err := h.Kubernetes.CoreV1().Secrets(h.Namespace).Get(ctx, installationSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("no agent has started in the namespace %s of %s, so there is no installation to add the cluster to; install Berth there, or name the agent's cluster with --home-context, and its namespace with -n", h.Namespace, h.Context)
	}
	if err != nil {
		return "", h.explain(err)
	}
	return string(secret.Data["id"]), nil
}

// secret returns the Secret of a cluster, and nil if there is none.
func (h *Home) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	secret, err := h.Kubernetes.CoreV1().Secrets(h.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return secret, h.explain(err)
}

// known returns an error if a cluster is the agent's own, or known under another name already.
func (h *Home) known(ctx context.Context, name string, identity types.UID) error {
	own, err := remote.Identity(ctx, h.Kubernetes.CoreV1())
	if err != nil {
		return h.explain(err)
	}
	if own == identity {
		return fmt.Errorf("this is the cluster of the agent itself (%s): entries without cluster run there; name another one with --context", h.Context)
	}
	list, err := h.Kubernetes.CoreV1().Secrets(h.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labelCluster})
	if err != nil {
		return h.explain(err)
	}
	for i := range list.Items {
		if other := &list.Items[i]; other.Name != name && other.Annotations[annotationIdentity] == string(identity) {
			return fmt.Errorf("this cluster is known already, as %s, and one cluster cannot have two names; use that name in entries, or remove it first: berth cluster remove %s --context CONTEXT", other.Name, other.Name)
		}
	}
	return nil
}

// Uses are what uses a cluster.
type Uses struct {
	// Environments are the names of those that run there.
	Environments []string `json:"environments"`
	// Entries are those that name the cluster, as repository/entry.
	Entries []string `json:"entries"`

	running []v1alpha1.Environment // those of Environments
}

// uses returns what uses each cluster, by name.
func (h *Home) uses(ctx context.Context) (map[string]*Uses, error) {
	environments, repositories := &v1alpha1.EnvironmentList{}, &v1alpha1.RepositoryList{}
	here := client.InNamespace(h.Namespace)
	if err := cmp.Or(h.Client.List(ctx, environments, here), h.Client.List(ctx, repositories, here)); err != nil {
		return nil, h.explain(err)
	}
	of := map[string]*Uses{}
	at := func(name string) *Uses {
		if of[name] == nil {
			of[name] = &Uses{Environments: []string{}, Entries: []string{}}
		}
		return of[name]
	}
	for i := range environments.Items {
		if env := &environments.Items[i]; env.Spec.Cluster != "" {
			uses := at(env.Spec.Cluster)
			uses.Environments, uses.running = append(uses.Environments, env.Name), append(uses.running, *env)
		}
	}
	for i := range repositories.Items {
		repo := &repositories.Items[i]
		for _, entry := range repo.Spec.Environments {
			if entry.Cluster != nil {
				uses := at(entry.Cluster.SecretRef.Name)
				uses.Entries = append(uses.Entries, repo.Name+"/"+entry.Name)
			}
		}
	}
	for _, uses := range of {
		slices.Sort(uses.Environments)
		slices.Sort(uses.Entries)
	}
	return of, nil
}
