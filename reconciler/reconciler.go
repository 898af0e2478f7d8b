// Package reconciler makes one environment what Git says, again and again. A pass leads from a commit to an outcome,
// without waiting for the cluster.
package reconciler

import (
	"cmp"
	"context"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/images"
	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/records"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/source"
)

// Environment is what a pass needs to know about one environment.
type Environment struct {
	// Name is the name of the Environment object. ID is the value of the label on all its objects.
	Name, ID string
	// Repository, Entry and Branch say where it comes from.
	Repository, Entry, Branch string
	// Cluster is the name of the cluster that it runs in; empty for the agent's own.
	Cluster string
	// Commit is what should run. Applied is what was last applied, and is used while Commit cannot be fetched. Healthy
	// is the last commit that passed the gate.
	Commit, Applied, Healthy string
	// Pinned says that a user chose Commit.
	Pinned bool
	// Source identifies the means to read commits: address, limits and credentials, and whether Commit has been
	// fetched. When Source changes, unreadable commits are retried.
	Source string
	// Rollback applies Healthy again when Commit does not become healthy.
	Rollback bool
	// URL is the address of the repository. Path is the folder of the manifests.
	URL, Path string
	// Namespace is the environment's own namespace. SharedNamespace allows one that belongs to no environment.
	Namespace       string
	NamespaceMarks  Marks
	SharedNamespace bool
	Scope           Scope
	// Policy says what objects may claim of what environments share.
	Policy Policy
	// Account is the service account of Namespace that applies everything from Git. Empty: the default account, to
	// which the agent itself grants its rights.
	Account string
	// Bounds are what the agent itself keeps in the namespace: quotas, limits and network policies. They have no
	// namespace. They have a name only if there may be several of a kind.
	Bounds []*unstructured.Unstructured
	// Siblings returns the other environments of the namespace; nil: it has none.
	Siblings func() []Sibling
	// Exists reports whether an environment with an id exists, in whatever namespace; nil: all exist. What a missing
	// environment left in a shared namespace may be taken over.
	Exists func(id string) bool
	// Copies are Secrets that the environment receives in addition to Git's objects, unless Git has one of the same
	// name.
	Copies []Copy
	// Problem is what is wrong with the entry. Until it is fixed, nothing new is applied.
	Problem error
	// Variables returns the values of the variables at a commit.
	Variables func(commit string) map[string]any
	// OtherVariables are the names that only other entries have variables for, each with one such entry.
	OtherVariables map[string]string
	// Decrypter reads encrypted files; nil: all of them are refused.
	Decrypter Decrypter
	// DecryptedKinds are the kinds besides Secret whose objects may hold decrypted values.
	DecryptedKinds []string
	// Settings is the digest of the entry's settings and keys. With the tree and the variables, it is the whole input.
	Settings string
	// Timeout is how long a rollout may take. ImagePullGrace is how long an image may be missing.
	Timeout, ImagePullGrace time.Duration
	// WaitForImages is how long a new input waits for the images that it brings; 0: it does not wait.
	WaitForImages time.Duration
	// WithoutTurn says that the environment waits for images, and may not begin a sync in this pass.
	WithoutTurn bool
	// Expressions judge the health of objects whose kinds have no rule.
	Expressions []Expression
	judges      *health.Expressions
	// Urgent says that the environment's kustomizations are built before those of others.
	Urgent bool
	// Suspended leaves the cluster as it is.
	Suspended bool
	// Retry is the id of a request for another attempt that has not been handled yet. It counts once.
	Retry string
	// Confirmation is the id of a confirmation by which a user allows blocked deletions. It counts once.
	Confirmation string
}

// Copy is an object of the agent's namespace as the environment receives it, and its origin.
type Copy struct {
	Object *unstructured.Unstructured
	Origin string
}

// Decrypter turns an encrypted file into plain text, in memory.
type Decrypter = render.Decrypter

// Opened is the result of decrypting a file.
type Opened = render.Opened

// Expression judges the objects of one kind by expressions in CEL.
type Expression = health.Expression

// Policy says what objects may claim of what environments share.
type Policy = render.Policy

// Scope says how far the objects of an environment may reach.
type Scope = render.Scope

// The scopes: the environment's own namespace, or the whole cluster.
const (
	Namespaced = render.Namespaced
	Cluster    = render.Cluster
)

// Marks are labels and annotations.
type Marks struct{ Labels, Annotations map[string]string }

// Snapshots returns the tree of a commit of a repository, by the repository's name.
type Snapshots func(ctx context.Context, repository, commit string) (*source.Snapshot, error)

// Config has the dependencies of a Reconciler.
type Config struct {
	Snapshots Snapshots
	// Cluster is the cluster that the environments run in. Its ClusterScoped is called at every pass and should answer from
	// memory, except for unknown kinds.
	Cluster *clusters.Cluster
	Records *records.Store
	// Images asks registries for images; nil: nothing waits for them.
	Images *images.Checker
	// Kustomize builds kustomizations; nil: they are errors.
	Kustomize *kustomize.Builder
	// RenderPatience is how long a pass waits for a render before it ends without the result; 0 is 200 ms.
	RenderPatience time.Duration
	// Requeue requeues the environment with an id. It does not block.
	Requeue func(id string)
	// DigestKey is the installation's key. It keys the digests of Secrets and of other objects that may hold decrypted
	// values. It also keys the proofs that an object belongs to an environment.
	DigestKey []byte
	// Now is the clock. Jitter returns a number in [0, 1) that spreads retries.
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
	if c.Requeue == nil {
		c.Requeue = func(string) {}
	}
	return &Reconciler{Config: c, claims: claims{of: map[string]claim{}}, memories: map[string]*memory{}}
}

// Forget drops everything that is remembered about an environment, and its watches. It leaves the cluster alone.
func (r *Reconciler) Forget(e Environment) {
	r.memory(e.Name).abandon()
	r.askNothing(e)
	r.mu.Lock()
	delete(r.memories, e.Name)
	r.mu.Unlock()
	waiting := r.claims.forget(e.ID)
	r.Cluster.Watches.Forget(e.ID)
	for _, id := range waiting {
		r.Requeue(id)
	}
}

// target returns the environment that objects belong to, and the user that writes them.
func (r *Reconciler) target(e Environment) apply.Target {
	return apply.Target{
		User:        e.user(),
		Namespace:   e.Namespace,
		Environment: e.ID,
		Prover:      r.prover(),
		Decrypted:   e.DecryptedKinds,
		Annotations: map[string]string{
			manifest.AnnotationRepository:  e.Repository,
			manifest.AnnotationBranch:      e.Branch,
			manifest.AnnotationEnvironment: e.Name,
		},
	}
}

// user returns the account that writes what comes from Git.
func (e Environment) user() string {
	return manifest.User(e.Namespace, cmp.Or(e.Account, manifest.DefaultAccount))
}

// own returns the objects that the agent itself keeps in the environment's namespace.
func (e Environment) own() []manifest.Object { return Own(e.Namespace, e.ID, e.Account, e.Bounds) }

// Own returns the objects that the agent itself keeps in an environment's namespace. They are the rights of the default
// account, unless the entry names another, and the bounds of the namespace.
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

// within returns the namespace that the environment's objects are confined to; empty: none.
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
