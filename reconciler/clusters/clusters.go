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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/live"
)

// Cluster is a cluster that environments run in. New wires it.
type Cluster struct {
	// Watches know what is in the cluster, and answer from memory.
	Watches *live.Watches
	// Applier writes, with the rights of each environment's account.
	Applier *apply.Applier
	// ClusterScoped reports whether a kind is cluster-scoped, as Scopes does.
	ClusterScoped func(schema.GroupKind) (bool, error)
	// Core reads what no watch keeps: logs, and the status of namespaces.
	Core typedcorev1.CoreV1Interface
}

// Config configures a Cluster.
type Config struct {
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
		Watches:       watches,
		Applier:       apply.New(apply.Config{Dynamic: writing, As: apply.Impersonate(c.REST, &impatient), Mapper: kinds, OpenAPI: typed.Discovery().OpenAPIV3(), Now: c.Now}),
		ClusterScoped: Scopes(kinds),
		Core:          typed.CoreV1(),
	}, nil
}

// watchingAs returns a client that watches as another user.
func (c Config) watchingAs(user string) (metadata.Interface, error) {
	return metadata.NewForConfigAndClient(metadata.ConfigFor(c.REST), apply.Acting(c.HTTP, user))
}

// Run watches the cluster until the context ends.
func (c *Cluster) Run(ctx context.Context) error { return c.Watches.Run(ctx) }

// ReadNamespace reads a namespace from the API server, where a watch may be late, or keeps too little of it.
func (c *Cluster) ReadNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return c.Core.Namespaces().Get(ctx, name, metav1.GetOptions{})
}
