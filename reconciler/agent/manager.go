package agent

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
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
func newManager(config *rest.Config, c *Config) (elected, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	options := ctrl.Options{
		Scheme: scheme,
		Logger: Quiet(c.Log),
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{c.Namespace: {}},
			ByObject: map[client.Object]cache.ByObject{
				// There are many records, and no cached client reads them.
				&corev1.Secret{}: {Field: fields.OneTermNotEqualSelector("type", "berth.dev/record")},
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
		return elected{}, fmt.Errorf("cannot reach the cluster: %w", err)
	}
	return mgr, mgr.AddReadyzCheck("alive", healthz.Ping)
}
