// Package fleet holds the clusters of one agent: its own, and those that it reaches by kubeconfigs in Secrets. It connects to a
// cluster when that is first asked for, and says why a cluster cannot be used.
package fleet

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/remote"
)

// Config configures a Fleet.
type Config struct {
	// Home reconciles in the agent's own cluster.
	Home *reconciler.Reconciler
	// Secret reads a Secret of the agent's namespace; implementations answer from memory.
	Secret func(ctx context.Context, name string) (*corev1.Secret, error)
	// Named returns the clusters that entries name, and Used also those that only Environments name, of which there may be
	// thousands. Connections to all others end.
	Named, Used func(ctx context.Context) (map[string]bool, error)
	// Wire makes the Reconciler of another cluster. It sends no requests.
	Wire func(Connection) (*reconciler.Reconciler, error)
	// Fence blocks writes that this agent may no longer make.
	Fence func(http.RoundTripper) http.RoundTripper
	// Changed is called when a cluster can be used, or cannot be used any more. It must not block.
	Changed func(ctx context.Context, cluster string)
	// UserAgent names the agent in requests.
	UserAgent string
	// Now is the clock. Jitter returns a number in [0, 1) that spreads attempts to connect.
	Now    func() time.Time
	Jitter func() float64
	Log    *slog.Logger
}

// Connection is how to reach a cluster, after its identity was read.
type Connection struct {
	Name     string
	Identity types.UID
	REST     *rest.Config
	HTTP     *http.Client
}

// Fleet connects one agent to its clusters. Its methods may be called from any goroutine, and never wait for a cluster.
type Fleet struct {
	Config

	mu      sync.Mutex
	run     context.Context // nil before Run and after
	running sync.WaitGroup
	members map[string]*member
	own     types.UID // the identity of the agent's own cluster; empty: it was not read yet
}

// New returns a Fleet. It sends no requests before a cluster is asked for.
func New(c Config) *Fleet {
	return &Fleet{Config: c, members: map[string]*member{}}
}

// Run keeps the connections until the context ends.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	f.run = ctx
	for _, m := range f.members {
		m.start()
	}
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	f.run = nil
	f.mu.Unlock()
	f.running.Wait()
	return nil
}

// Find returns the Reconciler of a cluster; "" is the agent's own. If the cluster cannot be used now, it returns nil, and why:
// empty while that is not known yet. Changed reports when that changes, unless only the Secret changed.
func (f *Fleet) Find(ctx context.Context, cluster string) (*reconciler.Reconciler, string) {
	if cluster == "" {
		return f.Home, ""
	}
	secret, err := f.Secret(ctx, cluster)
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.members[cluster]
	if !ok {
		m = &member{fleet: f, name: cluster}
		f.members[cluster] = m
	}
	m.read(secret, err)
	if why := m.why(); why != "" || !m.usable {
		return nil, why
	}
	return m.passes, ""
}

// Known returns the Reconciler of a cluster if it has been connected, even if the cluster cannot be used now; nil: it was not.
func (f *Fleet) Known(cluster string) *reconciler.Reconciler {
	if cluster == "" {
		return f.Home
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.members[cluster]; m != nil {
		return m.passes
	}
	return nil
}

// Usable returns the Reconcilers of all clusters that can be used now, the agent's own first.
func (f *Fleet) Usable() []*reconciler.Reconciler {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []*reconciler.Reconciler{f.Home}
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		if m := f.members[name]; m.usable && m.why() == "" {
			all = append(all, m.passes)
		}
	}
	return all
}

// Holds reports whether a Secret has the kubeconfig of a cluster that is used, or that was added to be used. In doubt, it has.
func (f *Fleet) Holds(ctx context.Context, secret *corev1.Secret) bool {
	if secret.Labels[remote.Label] != "" {
		return true
	}
	clusters := f.Named
	if remote.HasKubeconfig(secret) {
		clusters = f.Used // most Secrets that are copied need no look at all Environments
	}
	all, err := clusters(ctx)
	return err != nil || all[secret.Name]
}

// Tidy ends the connections to clusters that nothing names any more.
func (f *Fleet) Tidy(ctx context.Context) {
	f.mu.Lock()
	none := len(f.members) == 0
	f.mu.Unlock()
	if none {
		return
	}
	used, err := f.Used(ctx)
	if err != nil {
		return // the cache answers, and cannot fail
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, m := range f.members {
		if !used[name] {
			f.Log.Info("leaving a cluster that nothing names any more", "cluster", name)
			m.stop()
			delete(f.members, name)
		}
	}
}

// Notice is what users should know about a cluster; empty texts: nothing.
type Notice struct {
	// Trouble is why it cannot be used. Ends is when its credentials end, if that is soon. Pending says that it is not known yet
	// whether it can be used.
	Trouble, Ends string
	Pending       bool
}

// soon is how long before their end users are told about it.
const soon = 7 * 24 * time.Hour

// Notice returns what users should know about a cluster.
func (f *Fleet) Notice(ctx context.Context, cluster string) Notice {
	passes, why := f.Find(ctx, cluster)
	f.mu.Lock()
	defer f.mu.Unlock()
	n := Notice{Trouble: why, Pending: passes == nil && why == ""}
	if m := f.members[cluster]; m != nil && why == "" {
		n.Ends = m.ends(f.Now())
	}
	return n
}

// State is the state of a member for metrics.
type State struct {
	Name string
	// Usable says that passes can be made now. Known is false while that is not known yet.
	Usable, Known bool
	// Expires is when the first of the credentials ends; zero: none says when.
	Expires time.Time
}

// States returns the states of all members, in the order of their names.
func (f *Fleet) States() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []State
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		m := f.members[name]
		why := m.why()
		all = append(all, State{Name: name, Usable: m.usable && why == "", Known: m.usable || why != "", Expires: m.config.Expires})
	}
	return all
}

// rival returns the member that another one must give way to, because both lead to the same cluster: the one with the older
// Secret stays. nil: there is none.
func (f *Fleet) rival(m *member) *member {
	first := m
	for _, other := range f.members {
		if m.identity != "" && other.identity == m.identity && cmp.Or(other.born.Compare(first.born), strings.Compare(other.name, first.name)) < 0 {
			first = other
		}
	}
	if first == m {
		return nil
	}
	return first
}
