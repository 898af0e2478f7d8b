package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/preview"
	"berth.dev/berth/reconciler/records"
	"berth.dev/berth/reconciler/report"
	"berth.dev/berth/reconciler/stores"
	"berth.dev/berth/secrets"
	"berth.dev/berth/source"
)

// agentOptions are the flags of `berth agent`.
type agentOptions struct {
	kubeconfig     string
	namespace      string
	storeDir       string
	gitMemory      resource.Quantity
	gitStoreBytes  resource.Quantity
	allowFileURLs  bool
	leaderElect    bool
	lease          time.Duration
	metricsAddress string
	metricsGuarded bool
	healthAddress  string
	webhookAddress string
	pprofAddress   string
	syncAtOnce     int
	kustomize      kustomizeOptions
	logLevel       string
	logFormat      string
	remote         secrets.Remote
	vaultToken     string
}

func newAgent(s streams) *cobra.Command {
	o := &agentOptions{
		gitMemory:     *resource.NewQuantity(source.DefaultBudget, resource.BinarySI),
		gitStoreBytes: *resource.NewQuantity(stores.DefaultBytes, resource.BinarySI),
	}
	c := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent: follow Repositories, and make the cluster what their branches say",
		Long: `Runs the agent until it is told to stop.

It follows the Repositories of one namespace, makes an Environment for every entry and
matching branch, and makes the cluster what Git says there. In a cluster it uses its
ServiceAccount; elsewhere the kubeconfig, as kubectl does.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := newLogger(s, o.logLevel, o.logFormat)
			if err := errors.Join(err, checkLease(o.lease)); err != nil {
				return &codedError{code: exitUsage, err: err}
			}
			return runAgent(c.Context(), o, log)
		},
	}
	f := c.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "path of the kubeconfig; in a cluster it is not needed")
	f.StringVarP(&o.namespace, "namespace", "n", "berth", "the agent's own namespace: that of Repositories and Environments")
	f.StringVar(&o.storeDir, "store-dir", filepath.Join(os.TempDir(), "berth"), "folder for the bare Git stores; what is in it can be lost")
	f.Var(sizeFlag{&o.gitStoreBytes}, "git-store-bytes", "maximum size of all Git stores together; keep it below the size of the volume of --store-dir, with room for renewing one")
	f.Var(sizeFlag{&o.gitMemory}, "git-memory", "maximum memory for unpacking what is fetched from all repositories together; raise it with the agent's memory limit")
	f.BoolVar(&o.allowFileURLs, "allow-file-urls", false, "let Repositories name folders of this machine by file:// (for tests)")
	f.IntVar(&o.syncAtOnce, "sync-at-once", 0, "how many environments may be on their way to a new commit at once; the others are Queued, production never; 0 is any number")
	f.BoolVar(&o.leaderElect, "leader-elect", false, "let one of several replicas lead, by a Lease in the agent's namespace")
	f.DurationVar(&o.lease, "lease-duration", defaultLease, "with --leader-elect: how long a leader that is not heard of is waited for, in whole seconds")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of /metrics; 0 serves none")
	f.BoolVar(&o.metricsGuarded, "metrics-authorization", false, "serve /metrics only to accounts that may get that path, by their bearer token")
	f.StringVar(&o.webhookAddress, "webhook-address", ":9292", "address of /hooks/<repository>, for the webhooks of Git servers; 0 serves none")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "address of /healthz and /readyz; 0 serves none")
	f.StringVar(&o.pprofAddress, "pprof-address", "0", "address of /debug/pprof, for debugging: 127.0.0.1:6060, say; 0 serves none")
	o.kustomize.addTo(c)
	allowRemote(c, &o.remote, &o.vaultToken)
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	return c
}

func newLogger(s streams, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is none of debug, info, warn, error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(s.err, options)), nil
	case "json":
		options.ReplaceAttr = durationAsText
		return slog.New(slog.NewJSONHandler(s.err, options)), nil
	}
	return nil, fmt.Errorf("--log-format %q is neither text nor json", format)
}

// durationAsText gives durations their unit, which JSON's numbers do not have.
func durationAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// runAgent wires everything, in the order in which a commit travels from Git to the cluster.
func runAgent(ctx context.Context, o *agentOptions, log *slog.Logger) error {
	config, err := clusterConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	remote, err := newRemoteKeys(o.remote, o.vaultToken, os.Getenv)
	if err != nil {
		return err
	}
	mgr, err := newManager(config, o, log)
	if err != nil {
		return err
	}
	clients, err := newClients(config, mgr)
	if err != nil {
		return err
	}
	installation, err := ensureInstallation(ctx, clients.kubernetes.CoreV1().Secrets(o.namespace))
	if err != nil {
		return err
	}
	local := source.DenyLocal
	if o.allowFileURLs {
		local = source.AllowLocal
	}
	stores := stores.New(stores.Config{
		Dir: o.storeDir, Credentials: gitCredentials(mgr.GetClient()), Local: local, Proxy: http.ProxyFromEnvironment,
		Budget: source.NewBudget(o.gitMemory.Value()), Bytes: o.gitStoreBytes.Value(), Now: time.Now,
	})
	wakes := preview.NewWakes()
	watches := live.New(live.Config{Dynamic: clients.dynamic, Metadata: clients.metadata, Mapper: clients.mapper, Wake: wakes.Wake, Log: log})
	passes := reconciler.New(reconciler.Config{
		Snapshots:     stores.Snapshot,
		Applier:       apply.New(apply.Config{Dynamic: clients.writing, As: clients.as, Mapper: clients.mapper, OpenAPI: clients.kubernetes.Discovery().OpenAPIV3()}),
		Records:       records.New(clients.kubernetes.CoreV1(), o.namespace),
		Watches:       watches,
		ClusterScoped: scopes(clients.mapper),
		Kustomize:     o.kustomize.builder(),
		Wake:          wakes.Wake,
		DigestKey:     installation.digestKey,
		Now:           time.Now,
		Jitter:        rand.Float64,
	})
	reporter := report.New(report.Config{
		Client:   mgr.GetClient(),
		Recorder: mgr.GetEventRecorder("berth"),
		Metrics:  report.NewMetrics(metrics.Registry),
		Logs:     report.NewLogs(clients.kubernetes.CoreV1(), wakes.Add),
		Now:      time.Now,
		Log:      log,
	})
	guard, departures := branches.NewGuard(), branches.NewDepartures()
	repositories := preview.NewRepositories(preview.RepositoriesConfig{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Stores: stores, Guard: guard, Departures: departures, Namespace: o.namespace, Installation: installation.id,
		Report: reporter.Repository, Made: passes.Made, HookMissed: reporter.HookMissed, Wake: wakes.Add, Now: time.Now, Log: log,
	})
	environments := preview.NewEnvironments(preview.EnvironmentsConfig{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Reconciler: passes, Stores: stores, Guard: guard, Departures: departures, Secrets: secretsOf(mgr.GetClient()),
		Keys: newKeyring(secretsOf(mgr.GetClient()), remote).keys, Installation: installation.id, SyncAtOnce: o.syncAtOnce,
		Report: reporter.Environment, Recall: reporter.Recall, Gone: reporter.Forget, Wake: wakes.Add, Now: time.Now, Log: log,
	})
	if err := preview.SetUp(ctx, mgr, repositories, environments, wakes); err != nil {
		return fmt.Errorf("setting up the controllers: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(watches.Run)); err != nil {
		return err
	}
	if err := addWebhooks(mgr, o, repositories, log); err != nil {
		return err
	}
	log.Info("starting", "version", version, "namespace", o.namespace, "installation", installation.id)
	return mgr.Start(ctx)
}

// clusterConfig reads how to reach the cluster: as kubectl does, or as a pod does.
func clusterConfig(kubeconfig string) (*rest.Config, error) {
	config, err := loadConfig(kubeconfig, "")
	if err != nil {
		return nil, fmt.Errorf("cannot find the cluster: %w", err)
	}
	config.UserAgent = "berth/" + version
	// The API server's own fairness bounds the rate; a limit here would only delay.
	config.QPS = -1
	// What the server warns of belongs to the object, and to whoever wrote its manifest.
	config.WarningHandlerWithContext = apply.Warnings{}
	return config, nil
}

func newManager(config *rest.Config, o *agentOptions, log *slog.Logger) (ctrl.Manager, error) {
	quiet := logr.FromSlogHandler(atLeast(slog.LevelWarn, log.Handler()))
	ctrl.SetLogger(quiet)
	klog.SetLogger(quiet)
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	ofEnvironments, err := labels.Parse(manifest.LabelEnvironment)
	if err != nil {
		return nil, err
	}
	options := ctrl.Options{
		Scheme: scheme,
		Logger: quiet,
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{o.namespace: {}},
			ByObject: map[client.Object]cache.ByObject{
				// The records are many, and read by nobody through the cache.
				&corev1.Secret{}: {Field: fields.OneTermNotEqualSelector("type", "berth.dev/record")},
				// Of all namespaces, only those of environments say anything.
				&corev1.Namespace{}: {Label: ofEnvironments, Transform: cache.TransformStripManagedFields()},
			},
		},
		Metrics:                metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress: o.healthAddress,
		PprofBindAddress:       o.pprofAddress,
	}
	if o.metricsGuarded {
		options.Metrics.FilterProvider = authorizeMetrics
	}
	mgr, err := newElected(config, options, o, log)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the cluster: %w", err)
	}
	if err := mgr.AddHealthzCheck("alive", healthz.Ping); err != nil {
		return nil, err
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
	c.mapper = newMapper(c.kubernetes.Discovery())
	return c, nil
}
