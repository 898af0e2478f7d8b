package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/repositories"
	"berth.dev/berth/source/webhook"
)

// How long a delivery may take. Git servers give up after 10 s themselves.
const (
	webhookHeaderTimeout = 5 * time.Second
	webhookTimeout       = 20 * time.Second
	webhookIdleTimeout   = time.Minute
	webhookHeaderBytes   = 16 << 10
	// webhookConnections is the maximum number of connections. Each takes about 30 KiB.
	webhookConnections = 512
	// webhookPause is the minimum time between two forwarded webhooks of a repository.
	webhookPause = time.Second
	// webhookRetries is how often a webhook is forwarded again after a failure.
	webhookRetries = 5
)

// webhooks serves the webhook endpoints on every replica. The leader lists at once; a standby asks the leader to, by an
// annotation on the Repository.
type webhooks struct {
	mgr          ctrl.Manager
	address      string
	namespace    string
	repositories *repositories.Controller
	count        func(repository, result string)
	log          *slog.Logger

	relay     workqueue.TypedRateLimitingInterface[string]
	listening atomic.Bool
}

// addWebhooks lets the manager serve webhooks, unless the address is 0.
func (a *Agent) addWebhooks() error {
	if a.WebhookAddress == "0" {
		return nil
	}
	w := &webhooks{
		mgr: a.mgr, address: a.WebhookAddress, namespace: a.Namespace, repositories: a.repositories, count: a.Metrics.Delivered, log: a.Log,
		relay: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](webhookPause, webhookRetries*webhookPause)),
	}
	if err := a.mgr.AddReadyzCheck("webhooks", w.ready); err != nil {
		return err
	}
	return a.mgr.Add(w)
}

// ready returns an error until deliveries are accepted. A pod that were ready earlier would fail them, and Git servers
// disable webhooks that fail.
func (w *webhooks) ready(*http.Request) error {
	if !w.listening.Load() {
		return errors.New("webhooks are not served yet")
	}
	return nil
}

// NeedLeaderElection lets replicas that do not lead serve as well.
func (w *webhooks) NeedLeaderElection() bool { return false }

// Start serves until the context ends. It starts once the caches can answer.
func (w *webhooks) Start(ctx context.Context) error {
	for _, kind := range []client.Object{&v1alpha1.Repository{}, &corev1.Secret{}} {
		if _, err := w.mgr.GetCache().GetInformer(ctx, kind); err != nil {
			return fmt.Errorf("cannot serve webhooks: watching %T: %w", kind, err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", w.address)
	if err != nil {
		return fmt.Errorf("cannot serve webhooks: %w; choose another --webhook-address, or 0 for none", err)
	}
	server := &http.Server{
		Handler: webhook.New(webhook.Config{
			Secrets: w.secrets, Notify: w.notify, Now: time.Now, Log: w.log,
			Count: func(repository string, r webhook.Result) { w.count(repository, string(r)) },
		}),
		ReadHeaderTimeout: webhookHeaderTimeout,
		ReadTimeout:       webhookTimeout,
		WriteTimeout:      webhookTimeout + webhookHeaderTimeout,
		IdleTimeout:       webhookIdleTimeout,
		MaxHeaderBytes:    webhookHeaderBytes,
		ConnState:         newCrowd(webhookConnections).watch,
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
	}
	w.listening.Store(true)
	w.log.Info("serving webhooks", "address", listener.Addr().String())
	var relayed sync.WaitGroup
	relayed.Go(func() { w.passOn(ctx) })
	defer relayed.Wait()
	defer w.relay.ShutDown()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("cannot serve webhooks: %w", err)
	case <-ctx.Done():
		// Deliveries that have begun are answered: a Git server counts one that is cut off as failed.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), webhookTimeout)
		defer cancel()
		return server.Shutdown(last)
	}
}

// secrets reads the Secret that authenticates the deliveries for a repository.
func (w *webhooks) secrets(ctx context.Context, repository string) (webhook.Secrets, bool) {
	var repo v1alpha1.Repository
	if err := w.mgr.GetClient().Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: repository}, &repo); err != nil || repo.Spec.Webhook == nil {
		return webhook.Secrets{}, false
	}
	var secret corev1.Secret
	if err := w.mgr.GetClient().Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: repo.Spec.Webhook.SecretRef.Name}, &secret); err != nil {
		return webhook.Secrets{}, true // which no delivery is proven with
	}
	// Files and pipes often end with a line feed that is not part of the value.
	entry := func(name string) string { return strings.TrimRight(string(secret.Data[name]), "\r\n") }
	return webhook.Secrets{
		Token: entry("token"), PreviousToken: entry("token.previous"),
		SigningToken: entry("signingToken"), PreviousSigningToken: entry("signingToken.previous"),
	}, true
}

// notify triggers a listing of a repository, here or at the leader. It does not block.
func (w *webhooks) notify(repository string, _ webhook.Hook) {
	select {
	case <-w.mgr.Elected():
		w.repositories.Hook(types.NamespacedName{Namespace: w.namespace, Name: repository})
	default:
		w.relay.Add(repository)
	}
}

// passOn forwards webhooks to the leader, for each repository at most once in webhookPause.
func (w *webhooks) passOn(ctx context.Context) {
	passed := map[string]time.Time{}
	for {
		repository, over := w.relay.Get()
		if over {
			return
		}
		if wait := webhookPause - time.Since(passed[repository]); wait > 0 {
			w.relay.AddAfter(repository, wait)
		} else {
			passed[repository] = time.Now()
			w.tryToPassOn(ctx, repository)
		}
		w.relay.Done(repository)
	}
}

func (w *webhooks) tryToPassOn(ctx context.Context, repository string) {
	err := w.request(ctx, repository)
	switch {
	case err == nil:
		w.relay.Forget(repository)
	case w.relay.NumRequeues(repository) < webhookRetries:
		w.relay.AddRateLimited(repository)
	default:
		w.relay.Forget(repository)
		w.log.Warn("cannot forward a webhook to the leader; the next poll finds its change", "repository", repository, "error", err)
	}
}

// request writes the annotation that triggers the leader's listing.
func (w *webhooks) request(ctx context.Context, repository string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		v1alpha1.AnnotationRequested: repositories.HookRequest + randomText(8),
	}}})
	if err != nil {
		return err
	}
	repo := &v1alpha1.Repository{}
	repo.Namespace, repo.Name = w.namespace, repository
	return w.mgr.GetClient().Patch(ctx, repo, client.RawPatch(types.MergePatchType, patch))
}
