package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Entry defines which branches get an environment, from which folder, and in which namespace.
//
// +kubebuilder:validation:XValidation:rule=`self.scope != 'Cluster' || has(self.serviceAccountName)`,message="scope Cluster needs a serviceAccountName: the account whose rights over the cluster the branch may use",fieldPath=".scope"
// +kubebuilder:validation:XValidation:rule=`self.scope != 'Cluster' || !self.branches.exists(b, b.matches(r'^!|[*?]'))`,message="scope Cluster needs branches by name: with a pattern, whoever can push a branch would have rights over the cluster",fieldPath=".scope"
// +kubebuilder:validation:XValidation:rule=`self.__namespace__.contains('${BRANCH_SLUG}') || (size(self.branches) == 1 && !self.branches.exists(b, b.matches(r'[*?]')))`,message="namespace must contain ${BRANCH_SLUG} where more than one branch can match: each needs its own",fieldPath=".namespace"
// +kubebuilder:validation:XValidation:rule=`!has(self.expireAfter) || (has(self.onRemoval) ? self.onRemoval == 'Delete' : self.branches.exists(b, b.matches(r'[*?]')))`,message="expireAfter deletes what runs, which onRemoval must allow: set onRemoval to Delete, or leave expireAfter out",fieldPath=".expireAfter"
// +kubebuilder:validation:XValidation:rule=`!has(self.cluster) || !has(self.decryption) || !has(self.decryption.secretRef) || self.decryption.secretRef.name != self.cluster.secretRef.name`,message="cluster and decryption must name different Secrets: the keys for files do not belong with the credentials of a cluster",fieldPath=".cluster"
type Entry struct {
	// name is the name of the entry, such as production or review.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// agent is the name of the agent that runs this entry: the value of its flag --agent-name. An agent without a name runs
	// the entries without an agent. So the same Repository can be applied to several clusters, with an agent in each.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$')`,message="agent must consist of letters, digits, '-', '_' and '.', and begin and end with a letter or a digit, as the value of a label does"
	Agent string `json:"agent,omitempty"`

	// cluster is the cluster in which the environments of this entry run. Without it, they run in the agent's own cluster.
	// Changing it is like changing namespace: running environments do not move.
	// +optional
	Cluster *ClusterReference `json:"cluster,omitempty"`

	// branches are the branches that get an environment: names, or patterns. In a pattern, ** matches anything, *
	// anything except slashes, and ? one character except a slash. A pattern after ! excludes what it matches. If several
	// match a branch, the last one decides.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule=`!self[0].startsWith('!')`,message="the first of branches must not be a negation: there is nothing yet to exclude from; put \"**\" before it"
	Branches []BranchPattern `json:"branches"`

	// path is the folder with the manifests or the kustomization, relative to the repository's root.
	// +optional
	// +kubebuilder:default="."
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`!self.startsWith('/') && !self.matches(r'(^|/)\.\.(/|$)') && !self.contains('\\')`,message="path must be relative to the repository's root, with / between folders and without .."
	Path string `json:"path,omitempty"`

	// namespace is the namespace of the objects. ${BRANCH_SLUG} in it is replaced by a short form of the branch's name,
	// and is required if more than one branch can match. For a pattern, the agent creates the namespace and refuses one
	// that it did not create.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?|([a-z0-9][-a-z0-9]*)?\$\{BRANCH_SLUG\}([-a-z0-9]*[a-z0-9])?)$')`,message="namespace must consist of lower-case letters, digits and '-', and may contain ${BRANCH_SLUG} once"
	// +kubebuilder:validation:XValidation:rule=`!self.contains('${BRANCH_SLUG}') || size(self) <= 37`,message="namespace must fit 63 characters: ${BRANCH_SLUG} takes up to 40 of them, which leaves 23"
	Namespace string `json:"namespace"`

	// scope is Namespaced, which confines the environment to its namespace, or Cluster, which also allows objects of other
	// namespaces and cluster-scoped objects, within the rights of serviceAccountName.
	// +optional
	// +kubebuilder:default=Namespaced
	Scope Scope `json:"scope,omitempty"`

	// serviceAccountName is the account in the environment's namespace with which the agent applies everything from Git.
	// An administrator grants it its rights, and grants the agent the right to impersonate it. Defaults to the account
	// berth-apply, to which the agent binds the ClusterRole berth-environment in the environment's namespace.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:XValidation:rule=`self != 'berth-apply'`,message="berth-apply is the account that is used without serviceAccountName: leave serviceAccountName out, or name another account"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// namespaceTemplate is what the namespaces of this entry have in addition to the objects from Git: labels,
	// annotations, quotas, limits and network policies. A branch cannot change them.
	// +optional
	NamespaceTemplate *NamespaceTemplate `json:"namespaceTemplate,omitempty"`

	// decryption names the keys for files that are encrypted with SOPS. Without it, such a file is an error.
	// +optional
	Decryption *Decryption `json:"decryption,omitempty"`

	// variables replace ${NAME} in the manifests, in addition to the built-in variables, whose names they must not have.
	// If ${NAME} is the whole of an unquoted scalar, an integer stays an integer, and the strings true and false become
	// booleans. Otherwise the result is a string. Values may contain built-in variables.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule=`self.all(k, k.matches(r'^[A-Za-z_][A-Za-z0-9_]{0,62}$'))`,message="a variable's name must consist of at most 63 letters, digits and _, and must not begin with a digit"
	// +kubebuilder:validation:XValidation:rule=`!self.exists(k, k in ['BRANCH', 'BRANCH_SLUG', 'COMMIT', 'COMMIT_SHORT', 'NAMESPACE', 'ENVIRONMENT', 'ENTRY', 'REPOSITORY', 'CI_COMMIT_REF_NAME', 'CI_COMMIT_REF_SLUG', 'CI_COMMIT_SHA', 'CI_COMMIT_SHORT_SHA', 'CI_COMMIT_BRANCH', 'CI_ENVIRONMENT_SLUG', 'CI_ENVIRONMENT_NAME'])`,message="a variable must not have the name of a built-in one: BRANCH, BRANCH_SLUG, COMMIT, COMMIT_SHORT, NAMESPACE, ENVIRONMENT, ENTRY, REPOSITORY, CI_COMMIT_REF_NAME, CI_COMMIT_REF_SLUG, CI_COMMIT_SHA, CI_COMMIT_SHORT_SHA, CI_COMMIT_BRANCH, CI_ENVIRONMENT_SLUG, CI_ENVIRONMENT_NAME"
	// +kubebuilder:validation:XValidation:rule=`self.all(k, type(self[k]) == int ? self[k] >= -2147483648 && self[k] <= 2147483647 : size(self[k]) <= 4096)`,message="a variable's value must be an integer of 32 bits, or a text of at most 4096 characters"
	Variables map[string]intstr.IntOrString `json:"variables,omitempty"`

	// allowedHosts are the hosts that an Ingress, a route or a gateway of this entry may use. Each is a name, or a name
	// after "*.", which allows all names below it. Variables are replaced in them. An object without a host, which would
	// get all requests, is refused. Without the list, all hosts are allowed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^(\*|(\*\.)?([A-Za-z0-9]|\$\{[A-Za-z_][A-Za-z0-9_]*\})([-.A-Za-z0-9]|\$\{[A-Za-z_][A-Za-z0-9_]*\})*)$')`,message="an allowed host must be a name, such as posts.example.com, perhaps after *. for all names below, and may contain variables"
	AllowedHosts []string `json:"allowedHosts,omitempty"`

	// allowedServiceTypes are the types that the Services of this entry may have. Defaults to all types if every branch
	// is a name, and to ClusterIP and ExternalName if one is a pattern.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	AllowedServiceTypes []ServiceType `json:"allowedServiceTypes,omitempty"`

	// allowedClaims are the further shared resources that the objects of this entry may use: Snippets (annotations that
	// end in -snippet and become configuration of a proxy), ExternalIPs (of Services), ForeignServices (an ExternalName
	// of a Service in another namespace) and AccountTokens (Secrets with the token of a ServiceAccount). Defaults to all
	// if every branch is a name, and to none if one is a pattern.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	AllowedClaims []Claim `json:"allowedClaims,omitempty"`

	// link is the address that is shown for an environment. Variables are replaced in it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^https?://\S+$')`,message="link must begin with https:// or http://"
	Link string `json:"link,omitempty"`

	// copySecrets are Secrets that the agent copies from its own namespace before it applies anything, and keeps up to
	// date. A Secret of the same name that is in Git, or that the agent did not create, is left alone.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	CopySecrets []SecretReference `json:"copySecrets,omitempty"`

	// health defines when a sync counts as healthy, and what happens when it does not become healthy.
	// +optional
	// +kubebuilder:default={}
	Health Health `json:"health,omitzero"`

	// waitForImages is how long a commit waits for the images that it brings. With it, nothing of a commit is applied
	// before the registries have every new image that its changed workloads name, and what ran before goes on running.
	// Images that are still missing after this time fail the sync. A registry that cannot be asked delays nothing. The
	// value is a number with s, m or h, or several, at most 24h. Without it, commits do not wait.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,5}(ms|s|m|h)){1,5}$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')`,message="waitForImages must be between 1s and 24h: 15m is usual; to wait for nothing, leave it out"
	WaitForImages *metav1.Duration `json:"waitForImages,omitempty"`

	// onRemoval is what happens to the objects of an environment when the branch, the entry or the Repository is removed:
	// Delete or Orphan. Defaults to Orphan if all branches are names, and to Delete if one is a pattern. With Delete, Jobs
	// with the annotation berth.dev/job: on-removal run first.
	// +optional
	OnRemoval RemovalPolicy `json:"onRemoval,omitempty"`

	// expireAfter is how long a branch may be inactive before its namespace is deleted. A push re-creates it. The value is
	// a number with ms, s, m or h, or several. Without it, environments do not expire. It requires onRemoval Delete, the
	// default if a branch is a pattern.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	ExpireAfter *metav1.Duration `json:"expireAfter,omitempty"`

	// limit is the maximum number of environments that this entry may run at a time. Further ones wait in a queue.
	// Without it, there is no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Limit *int32 `json:"limit,omitempty"`
}

// ClusterReference names a cluster that the agent reaches from its own.
type ClusterReference struct {
	// secretRef names the Secret with a kubeconfig in its entry value or kubeconfig. The kubeconfig must contain its
	// credentials: one that starts a program, names files or uses an auth provider is refused. The name of the Secret is the
	// name of the cluster in messages.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}

// BranchPattern is the name of a branch, or a pattern of names, optionally after a "!" that negates it.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=255
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^!?[^!]') && !self.matches(r'[\s\\~^:\[\]{}]')`,message="a branch must be a name or a pattern of **, *, ? and other characters, after at most one !; space and \\ ~ ^ : [ ] { } cannot be used"
type BranchPattern string

// Scope is where an environment may have objects.
//
// +kubebuilder:validation:Enum=Namespaced;Cluster
type Scope string

// The scopes of an entry.
const (
	ScopeNamespaced Scope = "Namespaced"
	ScopeCluster    Scope = "Cluster"
)

// ServiceType is the type of a Service.
//
// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer;ExternalName
type ServiceType string

// Claim is the use of something that environments share.
//
// +kubebuilder:validation:Enum=Snippets;ExternalIPs;ForeignServices;AccountTokens
type Claim string

// RemovalPolicy is what happens to an environment's objects when the environment is removed.
//
// +kubebuilder:validation:Enum=Orphan;Delete
type RemovalPolicy string

// The removal policies of an entry.
const (
	// RemovalOrphan leaves everything running.
	RemovalOrphan RemovalPolicy = "Orphan"
	// RemovalDelete deletes everything that runs, and the namespace if the agent created it.
	RemovalDelete RemovalPolicy = "Delete"
)

// FailurePolicy is what happens when a sync does not become healthy.
//
// +kubebuilder:validation:Enum=Hold;Rollback
type FailurePolicy string

// The failure policies of an entry.
const (
	// FailureHold keeps the failed commit until a user or the next push fixes it.
	FailureHold FailurePolicy = "Hold"
	// FailureRollback applies the last healthy commit again.
	FailureRollback FailurePolicy = "Rollback"
)

// Decryption names the keys for files that are encrypted with SOPS.
//
// +kubebuilder:validation:XValidation:rule=`has(self.secretRef) || has(self.allow) && size(self.allow) > 0`,message="decryption must name the Secret with the keys in secretRef, or in allow the remote keys that the agent's own identity may use"
type Decryption struct {
	// secretRef names the Secret with the keys: *.agekey, *.asc, sops.vault-token and so on, with the same names as in
	// Flux.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// kinds are the kinds that may hold decrypted values in addition to Secrets, such as ConfigMap, or
	// Certificate.cert-manager.io for a custom resource. Everyone with the right to read such an object can read the
	// values.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=317
	// +kubebuilder:validation:items:Pattern=`^[A-Z][A-Za-z0-9]{0,62}(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$`
	Kinds []string `json:"kinds,omitempty"`

	// allow names the remote keys that this entry may use, out of those that the agent allows: an ARN, a name or an
	// address, or the beginning of one up to a "/". If the Secret has no credentials for a key, the agent uses its own
	// identity. Without allow, the entry may use all keys that the agent allows and the Secret has credentials for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Allow []string `json:"allow,omitempty"`
}

// Health defines when a sync counts as healthy, and what happens when it does not become healthy.
type Health struct {
	// timeout is how long a rollout may take after the last write: a number with ms, s, m or h, or several.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// onFailure is Hold, which keeps a failed commit as it is, or Rollback, which applies the last healthy commit again,
	// except for its Jobs, until the next push or retry.
	// +optional
	// +kubebuilder:default=Hold
	OnFailure FailurePolicy `json:"onFailure,omitempty"`

	// imagePullGrace is how long an image may be missing, because it is still being built, before that counts as a
	// failure: a number with ms, s, m or h, or several.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	ImagePullGrace metav1.Duration `json:"imagePullGrace,omitzero"`

	// expressions assess custom resources whose health does not show in standard conditions. They do not apply to the
	// kinds that Kubernetes and Berth know.
	// +optional
	// +listType=map
	// +listMapKey=apiVersion
	// +listMapKey=kind
	// +kubebuilder:validation:MaxItems=32
	Expressions []HealthExpression `json:"expressions,omitempty"`
}

// HealthExpression assesses the objects of one kind by boolean CEL expressions over the object's apiVersion, kind,
// metadata, spec and status. An expression that refers to a missing field is false.
type HealthExpression struct {
	// apiVersion is the API group and version of the objects. The expressions apply to all versions of the group.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+/v[0-9][a-z0-9]*$')`,message="apiVersion must be group/version of a custom resource: cert-manager.io/v1"
	APIVersion string `json:"apiVersion"`

	// kind is the kind of the objects.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// healthy is an expression that is true once the object is healthy, such as status.phase == "Running".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Healthy string `json:"healthy"`

	// failed is an expression that is true when the object will not become healthy by itself.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Failed string `json:"failed,omitempty"`

	// progressing is an expression that is true while the object is changing. It takes precedence over the other two.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Progressing string `json:"progressing,omitempty"`
}
