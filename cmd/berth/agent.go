package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"berth.dev/berth/reconciler/agent"
	"berth.dev/berth/reconciler/environments"
	"berth.dev/berth/reconciler/keyring"
	"berth.dev/berth/reconciler/report"
	"berth.dev/berth/reconciler/stores"
	"berth.dev/berth/secrets"
	"berth.dev/berth/source"
)

// agentOptions are the flags of `berth agent`.
type agentOptions struct {
	kubeconfig     string
	namespace      string
	name           string
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
	page           pageOptions
	pprofAddress   string
	syncAtOnce     int
	secretWatch    agent.SecretWatch
	kustomize      kustomizeOptions
	registry       registryOptions
	logLevel       string
	logFormat      string
	remote         secrets.Remote
	vaultToken     string
	sopsWorker     string
}

func newAgent(s streams) *cobra.Command {
	o := &agentOptions{
		gitMemory:     *resource.NewQuantity(source.DefaultBudget, resource.BinarySI),
		gitStoreBytes: *resource.NewQuantity(stores.DefaultBytes, resource.BinarySI),
		secretWatch:   agent.SecretsOfNamespaces,
	}
	c := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent, which applies the branches of Repositories to the cluster",
		Long: `Run the agent until it receives SIGINT or SIGTERM.

The agent follows the Repositories of one namespace, creates an Environment for every
pair of entry and matching branch, and applies what is in Git there. In a cluster it
uses its ServiceAccount, elsewhere the kubeconfig, as kubectl does.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := newLogger(s, o.logLevel, o.logFormat)
			if err := errors.Join(err, agent.CheckLease(o.lease), checkAgentName(o.name), checkProfiles(o.pprofAddress), o.page.check(), o.registry.read()); err != nil {
				return &codedError{code: exitUsage, err: err}
			}
			return runAgent(c.Context(), o, log)
		},
	}
	f := c.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "path of the kubeconfig; not needed in a cluster")
	f.StringVarP(&o.namespace, "namespace", "n", "berth", "the agent's own namespace, with the Repositories and Environments")
	f.StringVar(&o.name, "agent-name", "", "name of this agent: it runs the entries with the same agent, or without a name those without an agent, and leaves all others alone; for several clusters")
	f.StringVar(&o.storeDir, "store-dir", filepath.Join(os.TempDir(), "berth"), "folder for the bare Git stores; its content can be fetched again")
	f.Var(sizeFlag{&o.gitStoreBytes}, "git-store-bytes", "maximum size of all Git stores together; keep it below the size of the volume of --store-dir, because renewing a store needs room too")
	f.Var(sizeFlag{&o.gitMemory}, "git-memory", "maximum memory for unpacking the fetches of all repositories together; if you raise it, raise the agent's memory limit too")
	f.BoolVar(&o.allowFileURLs, "allow-file-urls", false, "allow Repositories whose URL is a local folder (file://); only for tests")
	f.IntVar(&o.syncAtOnce, "sync-at-once", 0, "maximum number of environments that sync a new commit at the same time; further ones are Queued, except for those of entries that name their branch; 0 means no limit")
	f.Var(&o.secretWatch, "watch-secrets", "how Secrets are watched: in each environment's namespace as the environment's account, or in the whole cluster as the agent, which then needs the right to read them all")
	f.BoolVar(&o.leaderElect, "leader-elect", false, "elect a leader among several replicas, by a Lease in the agent's namespace")
	f.DurationVar(&o.lease, "lease-duration", agent.DefaultLease, "how long standbys wait before they replace a silent leader, in whole seconds; used with --leader-elect")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of /metrics; 0 disables it")
	f.BoolVar(&o.metricsGuarded, "metrics-authorization", false, "serve /metrics only to bearer tokens of accounts that may get that path")
	f.StringVar(&o.webhookAddress, "webhook-address", ":9292", "address of /hooks/<repository> for webhooks of Git servers; 0 disables it")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "address of /healthz and /readyz; 0 disables it")
	f.StringVar(&o.pprofAddress, "pprof-address", "0", "loopback address of /debug/pprof for debugging, such as 127.0.0.1:6060; 0 disables it")
	o.page.addTo(f)
	o.kustomize.addTo(c)
	o.registry.addTo(c)
	allowRemote(c, &o.remote, &o.vaultToken)
	addSOPSWorker(c, &o.sopsWorker)
	f.StringVar(&o.logLevel, "log-level", "info", "level of the log: debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "format of the log: text or json")
	return c
}

// checkAgentName returns an error if no entry can name an agent in this way.
func checkAgentName(name string) error {
	if wrong := validation.IsValidLabelValue(name); len(wrong) > 0 {
		return fmt.Errorf("--agent-name %q: %s", name, strings.Join(wrong, "; "))
	}
	return nil
}

// checkProfiles returns an error unless only processes of this host or pod can fetch profiles, because profiles need no
// authentication.
func checkProfiles(address string) error {
	if address == "0" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--pprof-address %q is not a loopback address: profiles are served without authentication; use 127.0.0.1:6060 and kubectl port-forward", address)
	}
	return nil
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

// durationAsText writes durations with their unit, because a number in JSON has none.
func durationAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// runAgent runs the agent that the flags describe.
func runAgent(ctx context.Context, o *agentOptions, log *slog.Logger) error {
	cluster, err := loadConfig(o.kubeconfig, "")
	if err != nil {
		return fmt.Errorf("cannot find the cluster: %w", err)
	}
	identity, err := newIdentity(o.remote, o.vaultToken, os.Getenv)
	if err != nil {
		return err
	}
	counts := report.NewMetrics(metrics.Registry, version)
	workers, err := newWorkers(o.sopsWorker, counts.Decrypted)
	if err != nil {
		return err
	}
	local := source.DenyLocal
	if o.allowFileURLs {
		local = source.AllowLocal
	}
	quiet := agent.Quiet(log)
	ctrl.SetLogger(quiet)
	klog.SetLogger(quiet)
	a, err := agent.New(ctx, agent.Config{
		Cluster: cluster, Namespace: o.namespace, Name: o.name, Version: version,
		StoreDir: o.storeDir, GitMemory: o.gitMemory.Value(), GitStoreBytes: o.gitStoreBytes.Value(), LocalGit: local, Proxy: http.ProxyFromEnvironment,
		Registries: o.registry.registries,
		SyncAtOnce: o.syncAtOnce, SecretWatch: o.secretWatch, LeaderElect: o.leaderElect, LeaseDuration: o.lease,
		MetricsAddress: o.metricsAddress, MetricsAuthorization: o.metricsGuarded,
		HealthAddress: o.healthAddress, WebhookAddress: o.webhookAddress, ProfileAddress: o.pprofAddress,
		Kustomize: o.kustomize.builder(),
		Keys: func(c client.Reader) environments.Keys {
			return keyring.New(keyring.Config{Read: agent.SecretsOf(c), Remote: o.remote, Identity: identity, Workers: workers}).Decrypter
		},
		Page: o.page.serve(cluster, o.namespace, log), PageAddress: o.page.address, PageURL: o.page.publicAddress(),
		Metrics: counts,
		Now:     time.Now, Jitter: rand.Float64, Log: log,
	})
	if err != nil {
		return err
	}
	go returnMemory(ctx)
	return a.Run(ctx)
}
