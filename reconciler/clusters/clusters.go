// Package clusters holds, for each cluster, the one value through which the agent reads and writes what its environments
// consist of. Repositories, Environments, keys and records are in the agent's own cluster, and reached without it.
package clusters

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
)

// Cluster is a cluster that environments run in. New wires it.
type Cluster struct {
	// Name is the name of the Secret with the cluster's kubeconfig; empty for the agent's own cluster. Identity is what
	// identifies any other cluster, whatever its name and address.
	Name     string
	Identity types.UID
	// Watches know what is in the cluster, and answer from memory.
	Watches *live.Watches
	// Applier writes, with the rights of each environment's account.
	Applier *apply.Applier
	// ClusterScoped reports whether a kind is cluster-scoped, as Scopes does.
	ClusterScoped func(schema.GroupKind) (bool, error)
	// Core reads what no watch keeps: logs, and the status of namespaces.
	Core typedcorev1.CoreV1Interface
	// CoreAs returns the same for another user.
	CoreAs func(user string) (typedcorev1.CoreV1Interface, error)
}

// Config configures a Cluster.
type Config struct {
	// Name and Identity are those of Cluster.
	Name     string
	Identity types.UID
	// REST says how to reach the API server. HTTP sends the requests; all clients share its connections.
	REST *rest.Config
	HTTP *http.Client
	// Confined, Requeue and Stray are those of live.Config.
	Confined []schema.GroupKind
	Requeue  func(environment string)
	Stray    func(namespace *metav1.PartialObjectMetadata)
	// Now is the clock. Jitter returns a number in [0, 1) that spreads attempts to watch again.
	Now    func() time.Time
	Jitter func() float64
	Log    *slog.Logger
}

// New wires a Cluster. It sends no requests.
func New(c Config) (*Cluster, error) {
	typed, err := kubernetes.NewForConfigAndClient(c.REST, c.HTTP)
	if err != nil {
		return nil, err
	}
	reading, err := dynamic.NewForConfigAndClient(c.REST, c.HTTP)
	if err != nil {
		return nil, err
	}
	names, err := metadata.NewForConfigAndClient(metadata.ConfigFor(c.REST), c.HTTP)
	if err != nil {
		return nil, err
	}
	impatient := *c.HTTP
	impatient.Transport = apply.Unretried(impatient.Transport)
	writing, err := dynamic.NewForConfigAndClient(c.REST, &impatient)
	if err != nil {
		return nil, err
	}
	kinds := newMapper(typed.Discovery())
	watches := live.New(live.Config{
		Dynamic: reading, Metadata: names, Mapper: kinds, Confined: c.Confined, As: c.watchingAs,
		Requeue: c.Requeue, Stray: c.Stray, Log: c.Log, Jitter: c.Jitter,
	})
	return &Cluster{
		Name: c.Name, Identity: c.Identity,
		Watches:       watches,
		Applier:       apply.New(apply.Config{Dynamic: writing, As: apply.Impersonate(c.REST, &impatient), Mapper: kinds, OpenAPI: typed.Discovery().OpenAPIV3(), Now: c.Now}),
		ClusterScoped: Scopes(kinds),
		Core:          typed.CoreV1(),
		CoreAs: func(user string) (typedcorev1.CoreV1Interface, error) {
			return typedcorev1.NewForConfigAndClient(c.REST, apply.Acting(c.HTTP, user))
		},
	}, nil
}

// watchingAs returns a client that watches as another user.
func (c Config) watchingAs(user string) (metadata.Interface, error) {
	return metadata.NewForConfigAndClient(metadata.ConfigFor(c.REST), apply.Acting(c.HTTP, user))
}

// Run watches the cluster until the context ends.
func (c *Cluster) Run(ctx context.Context) error { return c.Watches.Run(ctx) }

// ReadPull reads a Secret or a ServiceAccount as a user: what a pod pulls images with. It returns nil if the object does not
// exist.
func (c *Cluster) ReadPull(ctx context.Context, user string, key manifest.Key) (*unstructured.Unstructured, error) {
	core, err := c.CoreAs(user)
	if err != nil {
		return nil, err
	}
	var found runtime.Object
	if key.GroupKind() == manifest.SecretKind {
		found, err = core.Secrets(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	} else {
		found, err = core.ServiceAccounts(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	}
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(found)
	return &unstructured.Unstructured{Object: content}, err
}

// ReadNamespace reads a namespace from the API server, where a watch may be late, or keeps too little of it.
func (c *Cluster) ReadNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return c.Core.Namespaces().Get(ctx, name, metav1.GetOptions{})
}
