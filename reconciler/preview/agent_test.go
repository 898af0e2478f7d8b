package preview

import (
	"context"
	"log/slog"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/records"
	"berth.dev/berth/reconciler/report"
	"berth.dev/berth/reconciler/stores"
	"berth.dev/berth/source"
)

// counted returns the metrics of all agents of the process, which can be registered only once.
var counted = sync.OnceValue(func() *report.Metrics { return report.NewMetrics(metrics.Registry) })

// agent is what a running agent consists of.
type agent struct {
	stop  func()
	wakes *Wakes
	hook  func(types.NamespacedName)
}

// start starts the agent, wired as the program wires it.
func (w *world) start() {
	w.t.Helper()
	a, err := w.wire()
	if err != nil {
		w.t.Fatal(err)
	}
	w.agent = a
	w.t.Cleanup(a.stop)
}

func (w *world) wire() (*agent, error) {
	rights := w.cluster.RESTConfig()
	mgr, err := w.manager()
	if err != nil {
		return nil, err
	}
	dynamics, err := dynamic.NewForConfig(rights)
	if err != nil {
		return nil, err
	}
	metadatas, err := metadata.NewForConfig(metadata.ConfigFor(rights))
	if err != nil {
		return nil, err
	}
	kubernetes, err := kubernetes.NewForConfig(rights)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(w.t.Output(), nil))
	secrets := func(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
		secret := &corev1.Secret{}
		return secret, mgr.GetClient().Get(ctx, name, secret)
	}
	stores := stores.New(stores.Config{Dir: w.stores, Credentials: credentials(secrets)})
	wakes := NewWakes()
	watches := live.New(live.Config{Dynamic: dynamics, Metadata: metadatas, Mapper: mgr.GetRESTMapper(), Wake: wakes.Wake, Log: log})
	passes := reconciler.New(reconciler.Config{
		Snapshots: stores.Snapshot,
		Applier:   apply.New(apply.Config{Dynamic: dynamics, Mapper: mgr.GetRESTMapper()}),
		Records:   records.New(kubernetes.CoreV1(), w.namespace),
		Watches:   watches,
		ClusterScoped: func(gk schema.GroupKind) (bool, error) {
			mapping, err := mgr.GetRESTMapper().RESTMapping(gk)
			return err == nil && mapping.Scope.Name() == meta.RESTScopeNameRoot, nil
		},
		Wake:      wakes.Wake,
		DigestKey: []byte("key"),
		Now:       w.now,
		Jitter:    func() float64 { return 0 },
	})
	reporter := report.New(report.Config{Client: mgr.GetClient(), Recorder: mgr.GetEventRecorder("berth"), Metrics: counted(), Now: w.now})
	guard, departures := branches.NewGuard(), branches.NewDepartures()
	repositories := NewRepositories(RepositoriesConfig{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Stores: stores, Guard: guard, Departures: departures, Namespace: w.namespace, Installation: w.installation,
		Report: reporter.Repository, Made: passes.Made, HookMissed: reporter.HookMissed, Wake: wakes.Add, ProgressPause: w.progress, Now: w.now, Log: log,
	})
	environments := NewEnvironments(EnvironmentsConfig{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Reconciler: passes, Stores: stores, Guard: guard, Departures: departures, Secrets: secrets,
		Installation: w.installation, SyncAtOnce: w.syncAtOnce, Report: reporter.Environment, Recall: reporter.Recall, Gone: reporter.Forget, Wake: wakes.Add, Now: w.now, Log: log,
	})
	if err := SetUp(w.t.Context(), mgr, repositories, environments, wakes); err != nil {
		return nil, err
	}
	if err := mgr.Add(manager.RunnableFunc(watches.Run)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the agent ended with: %v", err)
		}
	})
	return &agent{stop: stop, wakes: wakes, hook: repositories.Hook}, nil
}

func (w *world) manager() (ctrl.Manager, error) {
	ofEnvironments, err := labels.Parse(manifest.LabelEnvironment)
	if err != nil {
		return nil, err
	}
	again := true
	return ctrl.NewManager(w.cluster.RESTConfig(), ctrl.Options{
		Scheme: newScheme(w.t),
		Logger: logr.Discard(),
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{w.namespace: {}},
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}:    {Field: fields.OneTermNotEqualSelector("type", "berth.dev/record")},
				&corev1.Namespace{}: {Label: ofEnvironments},
			},
		},
		Controller: config.Controller{SkipNameValidation: &again},
		Metrics:    metricsserver.Options{BindAddress: "0"},
	})
}

func credentials(secrets Secrets) stores.Credentials {
	return func(ctx context.Context, repo *v1alpha1.Repository) (source.Credentials, error) {
		if repo.Spec.SecretRef == nil {
			return source.Credentials{}, nil
		}
		secret, err := secrets(ctx, types.NamespacedName{Namespace: repo.Namespace, Name: repo.Spec.SecretRef.Name})
		if err != nil {
			return source.Credentials{}, &source.Error{Reason: source.Unauthorized, Op: "read the credentials", Cause: err.Error(), Err: err}
		}
		return source.Credentials{Username: string(secret.Data["username"]), Password: string(secret.Data["password"])}, nil
	}
}
