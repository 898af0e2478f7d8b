// Package agent is Berth's agent as a library: it wires the controllers to a cluster and to Git servers, and runs them.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"berth.dev/berth/internal/panics"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/control"
	"berth.dev/berth/reconciler/environments"
	"berth.dev/berth/reconciler/feedback"
	"berth.dev/berth/reconciler/fleet"
	"berth.dev/berth/reconciler/images"
	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/records"
	"berth.dev/berth/reconciler/report"
	"berth.dev/berth/reconciler/repositories"
	"berth.dev/berth/reconciler/stores"
	"berth.dev/berth/source"
)

// Config configures an Agent.
type Config struct {
	// Cluster says how to reach the API server. It is not changed.
	Cluster *rest.Config
	// Namespace is the agent's own namespace: that of Repositories, Environments, keys and records.
	Namespace string
	// Name is the agent's name: the agent runs the entries that name it, or without a name those that name no agent.
	Name string
	// StoreDir is the folder of the Git stores. Losing its content is harmless.
	StoreDir string
	// GitMemory is the limit of the memory of all fetches together, and GitStoreBytes of the size of all stores together.
	// Both are in bytes; 0 means source.DefaultBudget and stores.DefaultBytes.
	GitMemory, GitStoreBytes int64
	// LocalGit reports whether Repositories may name folders of this machine.
	LocalGit source.LocalAccess
	// Proxy returns the proxy of a request to a Git server; nil: none.
	Proxy func(*http.Request) (*url.URL, error)
	// Registries says which registries are asked for images, and how.
	Registries images.Registries
	// SyncAtOnce is the maximum number of environments that sync at the same time; 0: any number.
	SyncAtOnce int
	// LeaderElect lets one of several replicas lead, by a Lease of LeaseDuration (0: DefaultLease).
	LeaderElect   bool
	LeaseDuration time.Duration
	// SecretWatch is how Secrets are watched; empty means SecretsOfNamespaces.
	SecretWatch SecretWatch
	// MetricsAddress, HealthAddress, WebhookAddress and ProfileAddress are the listen addresses; "0" disables one.
	MetricsAddress, HealthAddress, WebhookAddress, ProfileAddress string
	// Page makes a page that each replica serves at PageAddress, from a key that all of them share; nil: there is none.
	Page        func(key []byte) (Page, error)
	PageAddress string
	// PageURL is where people reach that page. Reports to forges have it as a link.
	PageURL string
	// MetricsAuthorization restricts the metrics to accounts that may get their path.
	MetricsAuthorization bool
	// Kustomize builds kustomizations.
	Kustomize *kustomize.Builder
	// Keys returns the decrypters of entries, from Secrets that it reads by a client; nil: nothing is decrypted.
	Keys func(client.Reader) environments.Keys
	// ProgressPause is the time between two progress reports of a fetch; 0 means 10 s.
	ProgressPause time.Duration
	// Metrics counts what the agent does. Agents of one process share it.
	Metrics *report.Metrics
	// StuckAfter is how long a controller may take to finish anything before /healthz reports that it is stuck; 0 means
	// 15 minutes.
	StuckAfter time.Duration
	// Version is that of the program.
	Version string
	// Now is the clock, Jitter a source of random numbers in [0,1).
	Now    func() time.Time
	Jitter func() float64
	Log    *slog.Logger
}

// Agent follows the Repositories of one namespace, and makes the cluster match their branches.
type Agent struct {
	Config
	mgr          elected
	installation installation
	repositories *repositories.Controller
	feedback     *feedback.Sender
	fleet        *fleet.Fleet
	environments *environments.Controller
	requeues     *environments.Requeues
	pulses       []*control.Pulse
}

// New wires an agent, in the order in which a commit travels from Git to the cluster. It reads the installation's id from
// the cluster, and creates one the first time.
func New(ctx context.Context, c Config) (*Agent, error) {
	config := c.connection()
	mgr, err := newManager(config, &c)
	if err != nil {
		return nil, err
	}
	home, err := typedcorev1.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	installation, err := ensureInstallation(ctx, home.Secrets(c.Namespace))
	if err != nil {
		return nil, err
	}
	a := &Agent{Config: c, mgr: mgr, installation: installation, requeues: environments.NewRequeues(), pulses: []*control.Pulse{control.NewPulse("repository", c.Now), control.NewPulse("environment", c.Now)}}
	store := stores.New(stores.Config{
		Dir: c.StoreDir, Credentials: GitCredentials(mgr.GetClient()), Local: c.LocalGit, Proxy: c.Proxy,
		Budget: source.NewBudget(cmp.Or(c.GitMemory, source.DefaultBudget)), Bytes: c.GitStoreBytes, Now: c.Now,
	})
	cluster, err := clusters.New(clusters.Config{
		REST: config, HTTP: mgr.GetHTTPClient(), Confined: c.SecretWatch.confined(), Requeue: a.requeues.Requeue, Stray: a.stray, Now: c.Now, Jitter: c.Jitter, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	passes := reconciler.Config{
		Snapshots: store.Snapshot,
		Cluster:   cluster,
		Records:   records.New(home, c.Namespace),
		Kustomize: c.Kustomize,
		Images: images.New(images.Config{
			Registries: c.Registries, Requeue: a.requeues.Requeue, Asked: c.Metrics.ImageChecked,
			Panicked: func(p *panics.Error) {
				c.Log.Error("asking a registry failed", "panic", p.Cause, "stack", p.Stack)
			},
			Proxy: c.Proxy, UserAgent: "berth/" + c.Version, Now: c.Now, Jitter: c.Jitter,
		}),
		Requeue:   a.requeues.Requeue,
		DigestKey: installation.digestKey,
		Now:       c.Now,
		Jitter:    c.Jitter,
	}
	a.addFleet(passes)
	var reporter *report.Reporter
	if err := a.addFeedback(ctx, &reporter, mgr.fence); err != nil {
		return nil, err
	}
	reporter = report.New(report.Config{
		Client:   mgr.GetClient(),
		Recorder: mgr.GetEventRecorder("berth"),
		Metrics:  c.Metrics,
		Logs:     report.NewLogs(a.podsOf, a.requeues.Add, c.Log),
		Changed:  a.feedback.Changed,
		Feedback: a.feedback.Condition,
		Now:      c.Now,
		Log:      c.Log,
	})
	if err := errors.Join(mgr.Add(manager.RunnableFunc(cluster.Run)), mgr.Add(manager.RunnableFunc(a.fleet.Run))); err != nil {
		return nil, err
	}
	return a, a.wireControllers(store, reporter)
}

// stray requeues the Repository of a namespace whose Environment may be lost.
func (a *Agent) stray(namespace *metav1.PartialObjectMetadata) { a.repositories.Stray(namespace) }

// wireControllers connects both controllers, and adds them to the manager with what runs beside them.
func (a *Agent) wireControllers(store *stores.Set, reporter *report.Reporter) error {
	reads, guard, departures := a.mgr.GetClient(), branches.NewGuard(), branches.NewDepartures()
	secrets := SecretsOf(reads)
	var keys environments.Keys
	if a.Keys != nil {
		keys = a.Keys(reads)
	}
	a.repositories = repositories.New(repositories.Config{
		Client: reads, Reader: a.mgr.GetAPIReader(), Fleet: a.fleet, Stores: store, Guard: guard, Departures: departures, Namespace: a.Namespace, Installation: a.installation.id, Agent: a.Name,
		Report: a.reportRepository(reporter), Heard: a.feedback.Heard, Listed: a.Metrics.Listed, Forgotten: a.Metrics.ForgetRepository, HookMissed: reporter.HookMissed, Requeue: a.requeues.Add, ProgressPause: a.ProgressPause, Pulse: a.pulses[0], Now: a.Now, Log: a.Log,
	})
	a.environments = environments.New(environments.Config{
		Client: reads, Reader: a.mgr.GetAPIReader(), Fleet: a.fleet, Stores: store, Guard: guard, Departures: departures, Secrets: secrets,
		Keys: keys, Installation: a.installation.id, Agent: a.Name, SyncAtOnce: a.SyncAtOnce,
		Report: reporter.Environment, Recall: reporter.Recall, Gone: reporter.Forget, Requeue: a.requeues.Add, Pulse: a.pulses[1], Now: a.Now, Log: a.Log,
	})
	if err := errors.Join(a.repositories.SetUp(a.mgr), a.environments.SetUp(a.mgr, a.requeues)); err != nil {
		return fmt.Errorf("setting up the controllers: %w", err)
	}
	if err := a.addProposals(store); err != nil {
		return err
	}
	if err := a.mgr.AddHealthzCheck("alive", a.alive); err != nil {
		return err
	}
	return errors.Join(a.addWebhooks(), a.addPage())
}

// alive returns an error if a controller is stuck. Slow fetches and passes are normal, so only minutes without progress show
// a stuck agent.
func (a *Agent) alive(*http.Request) error {
	var errs []error
	for _, pulse := range a.pulses {
		errs = append(errs, pulse.Check(cmp.Or(a.StuckAfter, 15*time.Minute)))
	}
	return errors.Join(errs...)
}

// Run runs the agent until the context ends. It can be called once.
func (a *Agent) Run(ctx context.Context) error {
	a.Log.Info("starting", "version", a.Version, "namespace", a.Namespace, "name", a.Name, "installation", a.installation.id)
	return a.mgr.Start(ctx)
}
