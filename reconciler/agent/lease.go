package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// leaseName is the name of the Lease for the leader election.
	leaseName = "berth-agent"
	// DefaultLease is how long standbys wait before they replace a silent leader, leastLease its minimum.
	DefaultLease = 15 * time.Second
	leastLease   = 3 * time.Second
)

// errLapsed reports that a write was not sent, because another replica may lead by now.
var errLapsed = errors.New("this agent has not renewed its lease in time, and writes nothing until it has: another may lead")

// lease is the resource lock of the leader election. The election alone does not keep two agents from writing at once: an
// agent that was frozen, or cut off from the API server, first finishes what it was about to do, and notices only seconds
// later that another one leads. The lease therefore refuses its writes from the moment when another agent may lead.
type lease struct {
	resourcelock.Interface
	duration time.Duration
	now      func() time.Time
	log      *slog.Logger
	// predecessor is the identity of an agent that has provably ended, place holds the proof, and begun is when it was
	// found.
	predecessor string
	place       *os.File
	begun       time.Time

	mu      sync.Mutex
	led     bool          // this agent has led
	renewed time.Time     // when the last renewal that succeeded was sent; zero once the lease is given back or lost
	refused bool          // a write was not sent since
	taken   chan struct{} // closed when another leads, after this agent has
}

// elected is a manager, and the transport of requests that only the leader may send to other servers.
type elected struct {
	ctrl.Manager
	fence func(next http.RoundTripper) http.RoundTripper
}

// newElected returns a manager that works only while this replica leads, if leader election is enabled.
func newElected(config *rest.Config, options ctrl.Options, c *Config) (elected, error) {
	if !c.LeaderElect {
		mgr, err := ctrl.NewManager(config, options)
		return elected{mgr, func(next http.RoundTripper) http.RoundTripper { return next }}, err
	}
	l, err := newLease(config, c)
	if err != nil {
		return elected{}, err
	}
	deadline, retry := l.deadline(), l.retry()
	options.LeaderElection, options.LeaderElectionResourceLockInterface, options.LeaderElectionReleaseOnCancel = true, l, true
	options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = &l.duration, &deadline, &retry
	config = rest.CopyConfig(config)
	config.Wrap(l.fence)
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return elected{}, err
	}
	return elected{mgr, l.fence}, mgr.Add(l)
}

// CheckLease returns an error if the duration of a lease is invalid. A Lease object holds whole seconds.
func CheckLease(d time.Duration) error {
	if d < leastLease || d%time.Second != 0 {
		return fmt.Errorf("--lease-duration %s is less than %s, or not in whole seconds", d, leastLease)
	}
	return nil
}

// newLease returns the lock in the agent's namespace. config must not be fenced by it.
func newLease(config *rest.Config, c *Config) (*lease, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("cannot name this agent in its lease: %w", err)
	}
	l := &lease{duration: cmp.Or(c.LeaseDuration, DefaultLease), now: time.Now, log: c.Log, taken: make(chan struct{})}
	who := resourcelock.ResourceLockConfig{Identity: host + "_" + randomText(16)}
	if l.predecessor, l.place, err = takePlace(c.StoreDir, who.Identity); err != nil {
		c.Log.Warn("waiting for the lease of an earlier agent, because it is unknown whether that has ended", "error", err)
	}
	l.begun = l.now()
	l.Interface, err = resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, c.Namespace, leaseName, who, config, l.deadline())
	return l, err
}

// deadline is how long after a renewal this agent still leads. Others wait for the whole duration; the difference is for
// requests in flight.
func (l *lease) deadline() time.Duration { return l.duration * 2 / 3 }

// retry is the time between two renewals.
func (l *lease) retry() time.Duration { return l.duration * 2 / 15 }

// Get returns the record of the Lease. If another agent took it after this one, this agent never leads again, because its
// knowledge of the cluster is stale.
func (l *lease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && !l.renewed.IsZero() && record.HolderIdentity != l.Identity() {
		l.renewed = time.Time{}
		close(l.taken)
	}
	if err == nil && l.inherits(record) {
		record.HolderIdentity = "" // as if it had been given back
	}
	return record, raw, err
}

// inherits reports whether the holder of the Lease has ended without releasing it, so that no agent has to wait for its
// expiry. Its last requests have had the time between two renewals to arrive: the API server drops requests of closed
// connections.
func (l *lease) inherits(record *resourcelock.LeaderElectionRecord) bool {
	return l.predecessor != "" && record.HolderIdentity == l.predecessor && passed(l.begun, l.now()) >= l.retry()
}

// Create creates the Lease, as the first leader.
func (l *lease) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, record, l.Interface.Create)
}

// Update takes, renews or releases the Lease.
func (l *lease) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, record, l.Interface.Update)
}

func (l *lease) write(ctx context.Context, record resourcelock.LeaderElectionRecord, write func(context.Context, resourcelock.LeaderElectionRecord) error) error {
	if l.over() {
		return errLapsed
	}
	sent := l.now()
	if err := write(ctx, record); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if record.HolderIdentity != l.Identity() {
		l.renewed = time.Time{}
		return nil
	}
	if !l.led {
		l.log.Info("this agent leads", "lease", leaseName, "identity", l.Identity())
	}
	l.led, l.renewed, l.refused = true, sent, false
	return nil
}

// over reports whether this agent has led, and leads no more.
func (l *lease) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.led && l.renewed.IsZero()
}

// mayWrite reports whether no other agent can lead yet. An agent that never led may write what all replicas write, such as a
// forwarded webhook.
func (l *lease) mayWrite() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.led || !l.renewed.IsZero() && passed(l.renewed, l.now()) < l.deadline()
}

// tell logs the first write that is not sent.
func (l *lease) tell(r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.refused {
		l.refused = true
		l.log.Warn("writes are blocked, because another agent may lead by now", "first", r.Method+" "+r.URL.Path)
	}
}

// passed returns the time between two moments, by the clock that shows more: the monotonic clock stops while a machine is
// suspended, and the wall clock can be set back.
func passed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// Start ends the agent when another leads.
func (l *lease) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.taken:
		return fmt.Errorf("another agent leads, because this one was frozen or cut off for longer than its lease of %s; it exits, and the kubelet restarts it", l.duration)
	}
}

// fence returns a transport that blocks writes that this agent may no longer make. It belongs closest to the network, below
// all that may take time.
func (l *lease) fence(next http.RoundTripper) http.RoundTripper { return fenced{next, l} }

type fenced struct {
	next  http.RoundTripper
	lease *lease
}

func (f fenced) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || f.lease.mayWrite() {
		return f.next.RoundTrip(r)
	}
	f.lease.tell(r)
	if r.Body != nil {
		_ = r.Body.Close() // as a transport does, whatever comes of the request
	}
	return nil, errLapsed
}
