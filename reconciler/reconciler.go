// Package reconciler makes one environment what Git says, again and again: a pass takes it from a
// commit to an outcome, without waiting for the cluster.
package reconciler

import (
	"cmp"
	"context"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/records"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/source"
)

// Environment is what a pass has to know of one environment.
type Environment struct {
	// Name is that of the Environment object, ID the value of the label on all that belongs to it.
	Name, ID string
	// Repository, Entry and Branch say where it comes from.
	Repository, Entry, Branch string
	// Commit is what should run; Applied is what was applied last, for as long as Commit cannot be had, and
	// Healthy the last that passed the gate.
	Commit, Applied, Healthy string
	// Pinned says that a person has named Commit.
	Pinned bool
	// Source stands for what commits are read with: address, limits and credentials, and whether Commit is here. What
	// could not be read is tried again when it changes.
	Source string
	// Rollback applies Healthy again when Commit does not become healthy.
	Rollback bool
	// URL is the address of the repository, Path the folder of the manifests.
	URL, Path string
	// Namespace is the environment's own; SharedNamespace allows one that is nobody's.
	Namespace       string
	NamespaceMarks  Marks
	SharedNamespace bool
	Scope           Scope
	// Policy says what objects may claim of what environments share.
	Policy Policy
	// Account is the service account of Namespace as which all that comes from Git is applied; empty: the default one,
	// to which the agent itself gives its rights.
	Account string
	// Bounds are what the agent itself keeps in the namespace: quotas, limits and network policies, without a namespace,
	// and with a name only where there may be several of a kind.
	Bounds []*unstructured.Unstructured
	// Siblings returns the other environments of the namespace, where it may have any; nil: it has none.
	Siblings func() []Sibling
	// Exists reports whether there is an environment with an id, in whatever namespace; nil: all exist. What one has left that
	// does not exist may be taken over in a namespace that environments share.
	Exists func(id string) bool
	// Copies are Secrets that the environment gets beside what Git says, unless Git has one of the same name.
	Copies []Copy
	// Problem is what is wrong with the entry: until it is mended, nothing new is applied.
	Problem error
	// Variables returns the variables' values at a commit.
	Variables func(commit string) map[string]any
	// OtherVariables are the names that only other entries have variables for, each with one such entry.
	OtherVariables map[string]string
	// Decrypter reads encrypted files; nil refuses them all.
	Decrypter Decrypter
	// DecryptedKinds are those beside Secret whose objects may hold what was decrypted.
	DecryptedKinds []string
	// Entry's settings and keys, as a digest: with the tree and the variables it is the whole input.
	Settings string
	// Timeout is how long a rollout may take, ImagePullGrace how long an image may be missing.
	Timeout, ImagePullGrace time.Duration
	// Expressions judge objects of kinds whose health there is no rule for.
	Expressions []Expression
	judges      *health.Expressions
	// Urgent says that the environment's kustomizations are built before those of others.
	Urgent bool
	// Suspended keeps the cluster as it is.
	Suspended bool
	// Retry is the id of a request for another attempt that has not been handled yet; it counts once.
	Retry string
	// Confirmation is the id of one by which a person lets go what the brake holds; it counts once.
	Confirmation string
}

// Copy is an object of the agent's namespace as the environment gets it, and where it comes from.
type Copy struct {
	Object *unstructured.Unstructured
	Origin string
}

// Decrypter turns an encrypted file into plain text, in memory.
type Decrypter = render.Decrypter

// Opened is what it makes of a file.
type Opened = render.Opened

// Expression judges the objects of one kind by expressions in CEL.
type Expression = health.Expression

// Policy says what objects may claim of what environments share.
type Policy = render.Policy

// Scope says how far the objects of an environment may reach.
type Scope = render.Scope

// The scopes: its own namespace, or the whole cluster.
const (
	Namespaced = render.Namespaced
	Cluster    = render.Cluster
)

// Marks are labels and annotations.
type Marks struct{ Labels, Annotations map[string]string }

// Snapshots returns the tree of a commit of a repository, by the repository's name.
type Snapshots func(ctx context.Context, repository, commit string) (*source.Snapshot, error)

// Config is what a Reconciler is made of.
type Config struct {
	Snapshots Snapshots
	Applier   *apply.Applier
	Records   *records.Store
	Watches   *live.Watches
	// ClusterScoped reports whether a kind that is not Kubernetes' own lives outside namespaces. It is asked
	// at every pass, and expected to answer from memory; of a kind that nobody knows, it does not.
	ClusterScoped func(schema.GroupKind) (bool, error)
	// Kustomize builds kustomizations; without it they are errors.
	Kustomize *kustomize.Builder
	// RenderPatience is how long a pass waits for a render before it ends without; 0 is 200 ms.
	RenderPatience time.Duration
	// Wake requeues the environment with an id. It does not block.
	Wake func(id string)
	// DigestKey is the installation's: it keys the digests of Secrets, and of what else may hold decrypted values,
	// and the proofs that an object is an environment's.
	DigestKey []byte
	// Now is the clock, Jitter returns a number in [0, 1) that spreads retries.
	Now    func() time.Time
	Jitter func() float64
}

// Reconciler reconciles environments. Several passes may run at once, but only one for each environment.
type Reconciler struct {
	Config
	claims   claims
	mu       sync.Mutex
	memories map[string]*memory
}

// New returns a Reconciler.
func New(c Config) *Reconciler {
	if c.Wake == nil {
		c.Wake = func(string) {}
	}
	return &Reconciler{Config: c, claims: claims{of: map[string]claim{}}, memories: map[string]*memory{}}
}

// Forget drops what is remembered of an environment, and its watches; the cluster is left as it is.
func (r *Reconciler) Forget(e Environment) {
	r.memory(e.Name).abandon()
	r.mu.Lock()
	delete(r.memories, e.Name)
	r.mu.Unlock()
	waiting := r.claims.forget(e.ID)
	r.Watches.Forget(e.ID)
	for _, id := range waiting {
		r.Wake(id)
	}
}

// target says whose the objects of an environment are, and who writes them.
func (r *Reconciler) target(e Environment) apply.Target {
	return apply.Target{
		User:        manifest.User(e.Namespace, cmp.Or(e.Account, manifest.DefaultAccount)),
		Namespace:   e.Namespace,
		Environment: e.ID,
		Prover:      r.prover(),
		Annotations: map[string]string{
			manifest.AnnotationRepository:  e.Repository,
			manifest.AnnotationBranch:      e.Branch,
			manifest.AnnotationEnvironment: e.Name,
		},
	}
}

// own returns what the agent itself keeps in the environment's namespace.
func (e Environment) own() []manifest.Object { return Own(e.Namespace, e.ID, e.Account, e.Bounds) }

// Own returns what the agent itself keeps in the namespace of an environment, by its id: the rights of the default
// account, unless its entry names another, and what bounds the namespace.
func Own(namespace, id, account string, bounds []*unstructured.Unstructured) (own []manifest.Object) {
	if account == "" {
		own = append(own, manifest.Binding(namespace, id))
	}
	for _, bound := range bounds {
		own = append(own, manifest.Bound(bound, namespace, id))
	}
	return own
}

func (r *Reconciler) prover() manifest.Prover { return manifest.NewProver(r.DigestKey) }

// within is the namespace that the environment's objects are confined to; empty: none.
func (e Environment) within() string {
	if e.Scope == Cluster {
		return ""
	}
	return e.Namespace
}

// namespace returns the environment's own namespace, as Berth makes it.
func (e Environment) namespace() plan.Namespace {
	return plan.Namespace{Object: manifest.Namespace(e.Namespace, maps.Clone(e.NamespaceMarks.Labels), maps.Clone(e.NamespaceMarks.Annotations)), Shared: e.SharedNamespace}
}
