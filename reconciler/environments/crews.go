package environments

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"berth.dev/berth/reconciler/control"
)

// crews reconcile the Environments of other clusters, with workers and a queue for each cluster. A cluster that answers slowly
// keeps its own workers busy, and nothing else.
type crews struct {
	reconcile func(ctx context.Context, cluster string, req ctrl.Request) (ctrl.Result, error)
	log       *slog.Logger
	// logger gets the errors and panics of passes, like that of the manager's controllers.
	logger logr.Logger

	mu      sync.Mutex
	ctx     context.Context // nil before run and after
	running sync.WaitGroup
	of      map[string]queue // by cluster
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

func newCrews(f func(context.Context, string, ctrl.Request) (ctrl.Result, error), log *slog.Logger) *crews {
	return &crews{reconcile: f, log: log, of: map[string]queue{}}
}

// run lets crews work until the context ends.
func (c *crews) run(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.ctx = nil
	c.mu.Unlock()
	c.running.Wait()
	return nil
}

// hand leaves an Environment to the crew of its cluster, which it starts the first time.
func (c *crews) hand(cluster string, req ctrl.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, ok := c.of[cluster]
	if !ok {
		if c.ctx == nil || c.ctx.Err() != nil {
			return fmt.Errorf("the agent has not started to work in the cluster %s yet", cluster)
		}
		var err error
		if line, err = c.start(c.ctx, cluster); err != nil {
			return err
		}
		c.of[cluster] = line
	}
	line.Add(req)
	return nil
}

// start starts a crew. Like any controller, it reconciles an Environment once at a time, and backs off after errors.
func (c *crews) start(ctx context.Context, cluster string) (queue, error) {
	reconciler := reconcile.Func(func(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
		return c.reconcile(ctx, cluster, req)
	})
	crew, err := controller.NewUnmanaged("environment", controller.Options{
		Reconciler: reconciler, MaxConcurrentReconciles: atOnce, RateLimiter: control.Backoff(), Logger: c.logger,
		SkipNameValidation: ptr.To(true), UsePriorityQueue: ptr.To(false),
	})
	if err != nil {
		return nil, err
	}
	lines := make(chan queue, 1)
	if err := crew.Watch(source.Func(func(_ context.Context, line queue) error { lines <- line; return nil })); err != nil {
		return nil, err
	}
	c.running.Go(func() {
		if err := crew.Start(ctx); err != nil {
			c.log.Error("a crew ended", "error", err)
		}
	})
	select {
	case line := <-lines:
		return line, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
