package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/remote"
)

// Member is a cluster of an installation, as this computer reaches it with the agent's credentials.
type Member struct {
	Name string `json:"name"`
	// Server is the address by which the agent reaches the cluster; empty if it is unknown.
	Server   string        `json:"server,omitempty"`
	Version  *version.Info `json:"version,omitempty"`
	Identity types.UID     `json:"identity,omitempty"`
	// Expires is when the first of the credentials ends, and ExpiresWhat names it. It is zero if they do not end.
	Expires     time.Time `json:"expires,omitzero"`
	ExpiresWhat string    `json:"expiresWhat,omitempty"`
	// Problem is why the agent cannot use the cluster. Unknown is why that cannot be seen.
	Problem string `json:"problem,omitempty"`
	Unknown string `json:"unknown,omitempty"`
	Uses

	// Client has the credentials of the agent; nil if they cannot be read.
	Client kubernetes.Interface `json:"-"`

	rest  *rest.Config // with which Client was made
	added bool         // by berth cluster add
}

// as returns a client with the credentials of the agent that impersonates a user.
func (m *Member) as(user string) (kubernetes.Interface, error) {
	config := rest.CopyConfig(m.rest)
	config.Impersonate.UserName = user
	return kubernetes.NewForConfig(config)
}

// atOnce is how many clusters are contacted at the same time, and answering how long one may take.
const (
	atOnce    = 20
	answering = 10 * time.Second
)

// Members returns the clusters of the installation by name: those that were added, and those that entries or environments name.
// It contacts each with the credentials of its Secret, if the user may read that.
func (h *Home) Members(ctx context.Context) ([]Member, error) {
	names, err := h.uses(ctx)
	if err != nil {
		return nil, err
	}
	secrets := map[string]*corev1.Secret{}
	list, err := h.Kubernetes.CoreV1().Secrets(h.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labelCluster})
	if err != nil && !apierrors.IsForbidden(err) {
		return nil, h.explain(err)
	}
	for i := range list.Items {
		secret := &list.Items[i]
		secrets[secret.Name] = secret
		if names[secret.Name] == nil {
			names[secret.Name] = &Uses{Environments: []string{}, Entries: []string{}}
		}
	}
	members := make([]Member, len(names))
	all, asking := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for i, name := range slices.Sorted(maps.Keys(names)) {
		m := &members[i]
		m.Name, m.Uses = name, *names[name]
		all.Go(func() error {
			h.look(asking, m, secrets[name])
			return ctx.Err()
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	own, err := remote.Identity(ctx, h.Kubernetes.CoreV1())
	if err != nil {
		own = "" // then a cluster that is the agent's own is not found out
	}
	compare(members, own)
	return members, nil
}

// look contacts one cluster.
func (h *Home) look(ctx context.Context, m *Member, secret *corev1.Secret) {
	if secret == nil {
		var err error
		secret, err = h.Kubernetes.CoreV1().Secrets(h.Namespace).Get(ctx, m.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			m.Problem = fmt.Sprintf("there is no Secret/%s in the namespace %s; add the cluster: berth cluster add %s --context CONTEXT", m.Name, h.Namespace, m.Name)
		case apierrors.IsForbidden(err):
			m.Unknown = fmt.Sprintf("you are not allowed to read Secret/%s", m.Name)
		case err != nil:
			m.Unknown = fmt.Sprintf("Secret/%s cannot be read: %v", m.Name, err)
		}
		if err != nil {
			return
		}
	}
	config, err := remote.Parse(secret)
	if err != nil {
		m.Problem = err.Error()
		return
	}
	m.rest, m.added = config.REST, secret.Labels[labelCluster] != ""
	m.Server, m.Expires, m.ExpiresWhat = config.REST.Host, config.Expires, config.ExpiresWhat
	if m.Client, err = kubernetes.NewForConfig(config.REST); err != nil {
		m.Problem = err.Error()
		return
	}
	m.contact(ctx)
}

// contact asks the cluster for its version and its identity.
func (m *Member) contact(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(ctx, answering, fmt.Errorf("no answer within %s", answering))
	defer cancel()
	identity, err := remote.Identity(ctx, m.Client.CoreV1())
	if err == nil {
		m.Identity = identity
		m.Version, err = remote.Version(ctx, m.Client.CoreV1())
	}
	unreachable, isUnreachable := errors.AsType[*url.Error](err)
	switch {
	case err == nil:
	case apierrors.IsUnauthorized(err):
		m.Problem = fmt.Sprintf("the cluster does not accept the agent's credentials; replace them: berth cluster add %s --context CONTEXT", m.Name)
	case apierrors.IsForbidden(err):
		m.Problem = fmt.Sprintf("the agent's account lacks rights: %v; grant them again: berth cluster add %s --context CONTEXT", err, m.Name)
	case ctx.Err() != nil:
		m.Unknown = fmt.Sprintf("cannot be reached from this computer: %v", context.Cause(ctx))
	case isUnreachable:
		m.Unknown = fmt.Sprintf("cannot be reached from this computer: %v", unreachable.Err)
	default:
		m.Unknown = fmt.Sprintf("cannot be read: %v", err)
	}
}

// compare finds the clusters that have two names.
func compare(members []Member, own types.UID) {
	first := map[types.UID]string{}
	for i := range members {
		m := &members[i]
		switch other := first[m.Identity]; {
		case m.Identity == "" || m.Problem != "":
		case m.Identity == own:
			m.Problem = "this is the cluster of the agent itself; leave cluster out of its entries"
		case other != "":
			m.Problem = fmt.Sprintf("this is the same cluster as %s; use one name in all entries", other)
		}
		if m.Identity != "" {
			first[m.Identity] = cmp.Or(first[m.Identity], m.Name)
		}
	}
}
