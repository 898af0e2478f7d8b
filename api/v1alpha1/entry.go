package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Entry says which branches get an environment, from which folder, and in which namespace.
//
// +kubebuilder:validation:XValidation:rule=`self.scope != 'Cluster' || has(self.serviceAccountName)`,message="scope Cluster needs a serviceAccountName: the account whose rights over the cluster the branch may use",fieldPath=".scope"
// +kubebuilder:validation:XValidation:rule=`self.scope != 'Cluster' || !self.branches.exists(b, b.matches(r'^!|[*?]'))`,message="scope Cluster needs branches by name: with a pattern, whoever can push a branch would have rights over the cluster",fieldPath=".scope"
// +kubebuilder:validation:XValidation:rule=`self.__namespace__.contains('${BRANCH_SLUG}') || (size(self.branches) == 1 && !self.branches.exists(b, b.matches(r'[*?]')))`,message="namespace must contain ${BRANCH_SLUG} where more than one branch can match: each needs its own",fieldPath=".namespace"
// +kubebuilder:validation:XValidation:rule=`!has(self.expireAfter) || (has(self.onRemoval) ? self.onRemoval == 'Delete' : self.branches.exists(b, b.matches(r'[*?]')))`,message="expireAfter deletes what runs, which onRemoval must allow: set onRemoval to Delete, or leave expireAfter out",fieldPath=".expireAfter"
type Entry struct {
	// name of the entry, such as production or review.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// branches that get an environment: names, or patterns in which ** stands for anything, * for anything but
	// a slash and ? for one character but a slash. A pattern after ! takes out again what it matches; the last
	// one that matches a branch decides.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule=`!self[0].startsWith('!')`,message="the first of branches must not be a negation: there is nothing yet to take out of; put \"**\" before it"
	Branches []BranchPattern `json:"branches"`

	// path of the folder with the manifests or the kustomization, from the repository's root.
	// +optional
	// +kubebuilder:default="."
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`!self.startsWith('/') && !self.matches(r'(^|/)\.\.(/|$)') && !self.contains('\\')`,message="path must be relative to the repository's root, with / between folders and without .."
	Path string `json:"path,omitempty"`

	// namespace that the objects go to. ${BRANCH_SLUG} stands for the branch in it, and must if more than one
	// branch can match. For a pattern the agent makes the namespace, and refuses one that it did not make.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?|([a-z0-9][-a-z0-9]*)?\$\{BRANCH_SLUG\}([-a-z0-9]*[a-z0-9])?)$')`,message="namespace must consist of lower-case letters, digits and '-', and may contain ${BRANCH_SLUG} once"
	// +kubebuilder:validation:XValidation:rule=`!self.contains('${BRANCH_SLUG}') || size(self) <= 37`,message="namespace must fit 63 characters: ${BRANCH_SLUG} takes up to 40 of them, which leaves 23"
	Namespace string `json:"namespace"`

	// scope is Namespaced, which confines the environment to its namespace, or Cluster, which lets it have
	// objects of other namespaces and of the cluster, as far as the rights of serviceAccountName reach.
	// +optional
	// +kubebuilder:default=Namespaced
	Scope Scope `json:"scope,omitempty"`

	// serviceAccountName is the account in the environment's namespace that everything from Git is applied as. An
	// administrator gives it its rights, and gives the agent the right to impersonate it. Without it, the agent applies
	// as the account berth-apply, to which it binds the ClusterRole berth-environment in the environment's namespace.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:XValidation:rule=`self != 'berth-apply'`,message="berth-apply is the account that is used without serviceAccountName: leave serviceAccountName out, or name another account"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// namespaceTemplate says what the namespaces of this entry have beside what Git says: labels, annotations, quotas,
	// limits and network policies, which a branch cannot change.
	// +optional
	NamespaceTemplate *NamespaceTemplate `json:"namespaceTemplate,omitempty"`

	// decryption names the keys for files that SOPS encrypted. Without it, such a file is an error.
	// +optional
	Decryption *Decryption `json:"decryption,omitempty"`

	// variables replace ${NAME} in the manifests, beside those that are built in, whose names they must not
	// have. An integer stays one where ${REPLICAS} is the whole of an unquoted scalar, and there the texts true
	// and false become booleans; any other text stays a text. Texts may contain the built-in variables.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule=`self.all(k, k.matches(r'^[A-Za-z_][A-Za-z0-9_]{0,62}$'))`,message="a variable's name must consist of at most 63 letters, digits and _, and must not begin with a digit"
	// +kubebuilder:validation:XValidation:rule=`!self.exists(k, k in ['BRANCH', 'BRANCH_SLUG', 'COMMIT', 'COMMIT_SHORT', 'NAMESPACE', 'ENVIRONMENT', 'ENTRY', 'REPOSITORY', 'CI_COMMIT_REF_NAME', 'CI_COMMIT_REF_SLUG', 'CI_COMMIT_SHA', 'CI_COMMIT_SHORT_SHA', 'CI_COMMIT_BRANCH', 'CI_ENVIRONMENT_SLUG', 'CI_ENVIRONMENT_NAME'])`,message="a variable must not have the name of a built-in one: BRANCH, BRANCH_SLUG, COMMIT, COMMIT_SHORT, NAMESPACE, ENVIRONMENT, ENTRY, REPOSITORY, CI_COMMIT_REF_NAME, CI_COMMIT_REF_SLUG, CI_COMMIT_SHA, CI_COMMIT_SHORT_SHA, CI_COMMIT_BRANCH, CI_ENVIRONMENT_SLUG, CI_ENVIRONMENT_NAME"
	// +kubebuilder:validation:XValidation:rule=`self.all(k, type(self[k]) == int ? self[k] >= -2147483648 && self[k] <= 2147483647 : size(self[k]) <= 4096)`,message="a variable's value must be an integer of 32 bits, or a text of at most 4096 characters"
	Variables map[string]intstr.IntOrString `json:"variables,omitempty"`

	// allowedHosts are the hosts that an Ingress, a route or a gateway of this entry may name: names, or names after
	// "*.", which stands for all names below. Variables are replaced in them. An object that names no host, and so
	// gets all requests, is refused as well. Without the list, any host may be named.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^(\*|(\*\.)?([A-Za-z0-9]|\$\{[A-Za-z_][A-Za-z0-9_]*\})([-.A-Za-z0-9]|\$\{[A-Za-z_][A-Za-z0-9_]*\})*)$')`,message="an allowed host must be a name, such as posts.example.com, perhaps after *. for all names below, and may contain variables"
	AllowedHosts []string `json:"allowedHosts,omitempty"`

	// allowedServiceTypes are the types that the Services of this entry may have. By default these are all if every
	// branch is a name, and ClusterIP and ExternalName if one is a pattern.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	AllowedServiceTypes []ServiceType `json:"allowedServiceTypes,omitempty"`

	// allowedClaims are what else the objects of this entry may take of what environments share: Snippets
	// (annotations that end in -snippet and become configuration of a proxy), ExternalIPs (of Services),
	// ForeignServices (of other namespaces, behind an ExternalName) and AccountTokens (Secrets with the token of a
	// ServiceAccount). By default all if every branch is a name, and none if one is a pattern.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	AllowedClaims []Claim `json:"allowedClaims,omitempty"`

	// link is the address that people are shown for an environment; variables are replaced in it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^https?://\S+$')`,message="link must begin with https:// or http://"
	Link string `json:"link,omitempty"`

	// copySecrets are copied from the agent's namespace before anything is applied, and kept up to date. A
	// Secret of the same name that the branch brings, or that somebody else made, is left alone.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	CopySecrets []SecretReference `json:"copySecrets,omitempty"`

	// health says when a sync counts as healthy, and what happens when it does not get there.
	// +optional
	// +kubebuilder:default={}
	Health Health `json:"health,omitzero"`

	// onRemoval says what happens to what runs when the branch, the entry or the Repository goes: Delete or
	// Orphan. The default is Orphan if all branches are names, and Delete if one is a pattern. With Delete, Jobs with
	// the annotation berth.dev/job: on-removal run before.
	// +optional
	OnRemoval RemovalPolicy `json:"onRemoval,omitempty"`

	// expireAfter says for how long a branch may lie still until its namespace is deleted; a push brings it
	// back. A number with ms, s, m or h, or several. Without it, environments do not expire. It needs onRemoval
	// Delete, the default where a branch is a pattern.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	ExpireAfter *metav1.Duration `json:"expireAfter,omitempty"`

	// limit is the most environments that this entry may have at a time; more of them wait in a queue. Without
	// it there is no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Limit *int32 `json:"limit,omitempty"`
}

// BranchPattern is the name of a branch, or a pattern of names, perhaps after a "!" that negates it.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=255
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^!?[^!]') && !self.matches(r'[\s\\~^:\[\]{}]')`,message="a branch must be a name or a pattern of **, *, ? and other characters, after at most one !; space and \\ ~ ^ : [ ] { } cannot be used"
type BranchPattern string

// Scope says how far an environment's objects may reach.
//
// +kubebuilder:validation:Enum=Namespaced;Cluster
type Scope string

// The scopes of an entry.
const (
	ScopeNamespaced Scope = "Namespaced"
	ScopeCluster    Scope = "Cluster"
)

// ServiceType is a type of Services.
//
// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer;ExternalName
type ServiceType string

// Claim is something that objects take of what environments share.
//
// +kubebuilder:validation:Enum=Snippets;ExternalIPs;ForeignServices;AccountTokens
type Claim string

// RemovalPolicy says what happens to what an environment runs when the environment goes.
//
// +kubebuilder:validation:Enum=Orphan;Delete
type RemovalPolicy string

// The removal policies of an entry.
const (
	// RemovalOrphan leaves everything running.
	RemovalOrphan RemovalPolicy = "Orphan"
	// RemovalDelete deletes what runs, and the namespace if the agent made it.
	RemovalDelete RemovalPolicy = "Delete"
)

// FailurePolicy says what happens when a sync does not become healthy.
//
// +kubebuilder:validation:Enum=Hold;Rollback
type FailurePolicy string

// The failure policies of an entry.
const (
	// FailureHold leaves the failed commit as it is, for a person or the next push to mend.
	FailureHold FailurePolicy = "Hold"
	// FailureRollback applies the last healthy commit again.
	FailureRollback FailurePolicy = "Rollback"
)

// Decryption names the keys for files that SOPS encrypted.
//
// +kubebuilder:validation:XValidation:rule=`has(self.secretRef) || has(self.allow) && size(self.allow) > 0`,message="decryption must name the Secret with the keys in secretRef, or in allow the remote keys that the agent's own identity may use"
type Decryption struct {
	// secretRef names the Secret with the keys: *.agekey, *.asc, sops.vault-token and the others, named as Flux
	// names them.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// kinds names what beside Secrets may hold decrypted values: ConfigMap, say, or Certificate.cert-manager.io for
	// a kind outside of Kubernetes' own. Whoever may read such an object may then read the values.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=317
	// +kubebuilder:validation:items:Pattern=`^[A-Z][A-Za-z0-9]{0,62}(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$`
	Kinds []string `json:"kinds,omitempty"`

	// allow names the remote keys that decrypt for this entry, among those that the agent allows: an ARN, a name or
	// an address, or the beginning of one up to a "/". Where the Secret has no credentials for them, the agent's own
	// identity asks them. Without allow, all keys that the agent allows decrypt for which the Secret has credentials.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Allow []string `json:"allow,omitempty"`
}

// Health says when a sync counts as healthy, and what happens when it does not get there.
type Health struct {
	// timeout is how long a rollout may take from the last write on. A number with ms, s, m or h, or several.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// onFailure is Hold, which leaves a failed commit as it is, or Rollback, which applies the last healthy
	// commit again, except for its Jobs, until the branch moves or a person asks.
	// +optional
	// +kubebuilder:default=Hold
	OnFailure FailurePolicy `json:"onFailure,omitempty"`

	// imagePullGrace is how long an image may be missing before that counts as a failure, for it may still be
	// being built. A number with ms, s, m or h, or several.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	ImagePullGrace metav1.Duration `json:"imagePullGrace,omitzero"`

	// expressions judge custom resources whose status says in words of its own how they are, which their
	// conditions do not tell. The kinds that Kubernetes and Berth know are judged as ever.
	// +optional
	// +listType=map
	// +listMapKey=apiVersion
	// +listMapKey=kind
	// +kubebuilder:validation:MaxItems=32
	Expressions []HealthExpression `json:"expressions,omitempty"`
}

// HealthExpression judges the objects of one kind by expressions in CEL, each of which is true or false and
// sees the object's apiVersion, kind, metadata, spec and status. What it cannot find makes it false.
type HealthExpression struct {
	// apiVersion of the objects. The version does not matter: an object is the same one in all of them.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+/v[0-9][a-z0-9]*$')`,message="apiVersion must be group/version of a custom resource: cert-manager.io/v1"
	APIVersion string `json:"apiVersion"`

	// kind of the objects.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// healthy is true once the object has settled: status.phase == "Running".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Healthy string `json:"healthy"`

	// failed is true when the object will not get there by itself.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Failed string `json:"failed,omitempty"`

	// progressing is true while the object is on its way, whatever the other two say.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Progressing string `json:"progressing,omitempty"`
}
