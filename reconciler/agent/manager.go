package agent

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/manifest"
)

// connection returns the agent's connection to the cluster.
func (c *Config) connection() *rest.Config {
	config := rest.CopyConfig(c.Cluster)
	config.UserAgent = "berth/" + c.Version
	// The API server's own fairness bounds the rate; a limit here would only delay.
	config.QPS = -1
	// Warnings of the API server belong to the object, and to the author of its manifest.
	config.WarningHandlerWithContext = apply.Warnings{}
	return config
}

// newManager returns a manager that caches what the agent reads of its own namespace.
func newManager(config *rest.Config, c *Config) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	ofEnvironments, err := labels.Parse(manifest.LabelEnvironment)
	if err != nil {
		return nil, err
	}
	options := ctrl.Options{
		Scheme: scheme,
		Logger: Quiet(c.Log),
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{c.Namespace: {}},
			ByObject: map[client.Object]cache.ByObject{
				// There are many records, and no cached client reads them.
				&corev1.Secret{}: {Field: fields.OneTermNotEqualSelector("type", "berth.dev/record")},
				// Only the namespaces of environments matter.
				&corev1.Namespace{}: {Label: ofEnvironments, Transform: cache.TransformStripManagedFields()},
			},
		},
		Metrics:                metricsserver.Options{BindAddress: c.MetricsAddress},
		HealthProbeBindAddress: c.HealthAddress,
		PprofBindAddress:       c.ProfileAddress,
		Controller: ctrlconfig.Controller{
			// A process may run several agents, one after the other or, in tests, at the same time.
			SkipNameValidation: ptr.To(true),
			// The priority queue of controller-runtime before 0.25 can deadlock when it shuts down, and then the agent
			// takes 30 seconds to end (kubernetes-sigs/controller-runtime#3538).
			UsePriorityQueue: ptr.To(false),
		},
	}
	if c.MetricsAuthorization {
		options.Metrics.FilterProvider = authorizeMetrics
	}
	mgr, err := newElected(config, options, c)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the cluster: %w", err)
	}
	return mgr, mgr.AddReadyzCheck("alive", healthz.Ping)
}

// clients reach the cluster beside the manager's own client, all over the same connections.
type clients struct {
	kubernetes kubernetes.Interface
	dynamic    dynamic.Interface
	writing    dynamic.Interface                            // for users' objects
	as         func(user string) (dynamic.Interface, error) // the same, as another user
	metadata   metadata.Interface
	watchingAs func(user string) (metadata.Interface, error) // the same, as another user
	mapper     *mapper
}

func newClients(config *rest.Config, mgr ctrl.Manager) (clients, error) {
	var c clients
	var err error
	if c.kubernetes, err = kubernetes.NewForConfigAndClient(config, mgr.GetHTTPClient()); err != nil {
		return c, err
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, mgr.GetHTTPClient()); err != nil {
		return c, err
	}
	impatient := *mgr.GetHTTPClient()
	impatient.Transport = apply.Unretried(impatient.Transport)
	if c.writing, err = dynamic.NewForConfigAndClient(config, &impatient); err != nil {
		return c, err
	}
	c.as = apply.Impersonate(config, &impatient)
	if c.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(config), mgr.GetHTTPClient()); err != nil {
		return c, err
	}
	c.watchingAs = func(user string) (metadata.Interface, error) {
		return metadata.NewForConfigAndClient(metadata.ConfigFor(config), apply.Acting(mgr.GetHTTPClient(), user))
	}
	c.mapper = newMapper(c.kubernetes.Discovery())
	return c, nil
}
