package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Repository is a Git repository and the environments that its branches get. An administrator writes it, in the agent's
// namespace. The agent creates an Environment for each pair of an entry and a matching branch.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=repo,categories=berth
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Last change",type=date,JSONPath=`.status.lastChangeTime`,description="How long ago a branch moved, came or went"
// +kubebuilder:printcolumn:name="Agent",type=string,JSONPath=`.status.agent`,priority=1,description="The name of the agent that follows it here"
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule=`!self.metadata.name.contains('.')`,message="metadata.name must not contain a dot: dots separate it from the entry in the names of Environments"
// +kubebuilder:validation:XValidation:rule=`self.spec.environments.all(e, e.branches.all(b, size(self.metadata.name) + size(e.name) <= (size(b) > 33 || b.matches(r'[*?]') ? 21 : 54 - size(b))))`,message="an Environment's name, <repository>.<entry>.<branch slug>, must fit 63 characters: with a pattern or a long branch, metadata.name and the entry's name may have 21 together; shorten one"
type Repository struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec defines where the repository is, and which of its branches get an environment.
	// +required
	Spec RepositorySpec `json:"spec"`

	// status is what the agent knows of the repository. A poll that finds no change does not change it.
	// +optional
	Status RepositoryStatus `json:"status,omitzero"`
}

// RepositoryList is a list of Repositories.
//
// +kubebuilder:object:root=true
type RepositoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Repository `json:"items"`
}

// RepositorySpec defines where a repository is, and which of its branches get an environment.
//
// +kubebuilder:validation:XValidation:rule=`!has(self.feedback) || has(self.feedback.provider) || (has(self.feedback.url) ? self.feedback.url : self.url).matches(r'^[a-z]+://([^/@]*@)?[^/@]*(github|gitlab|gitea|forgejo|codeberg)')`,message="feedback needs a provider, because the host's name does not say which API it has: GitLab, GitHub or Gitea (also for Forgejo)",fieldPath=".feedback"
// +kubebuilder:validation:XValidation:rule=`!has(self.feedback) || !self.url.startsWith('file:')`,message="feedback needs a repository on a forge, but url is a local folder",fieldPath=".feedback"
// +kubebuilder:validation:XValidation:rule=`!self.environments.exists(c, has(c.cluster) && self.environments.exists(e, has(e.copySecrets) && e.copySecrets.exists(s, s.name == c.cluster.secretRef.name)))`,message="copySecrets must not copy the kubeconfig of a cluster: whoever can push a branch could read it in the environment's namespace",fieldPath=".environments"
type RepositorySpec struct {
	// url is the address of the repository: https, http or ssh, without credentials. file is for tests; the agent refuses
	// it unless it runs with --allow-file-urls.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^((https?|ssh)://[^/\s]+/\S+|file:///\S+)$')`,message="url must be https://HOST/PATH, http://HOST/PATH or ssh://[USER@]HOST[:PORT]/PATH; write git@HOST:PATH as ssh://git@HOST/PATH"
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^https?://[^/]*@|^ssh://[^/]*:[^/]*@')`,message="url must not hold credentials: put them into a Secret and name it in secretRef"
	URL string `json:"url"`

	// secretRef names the Secret in this namespace with the credentials for url. Its keys are username and password, or
	// bearerToken, or identity (an SSH key) and known_hosts; and ca.crt for a server with a certificate of a private
	// authority. A public repository needs none.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// poll is the schedule for listing the branches: a cron expression with five fields, @hourly and the like, or @every
	// with a duration. A webhook only triggers the next listing earlier.
	// +optional
	// +kubebuilder:default="@every 1m"
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^(CRON_)?TZ=')`,message="poll must not hold a time zone: put it into timeZone"
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^(CRON_)?TZ=|^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$|^@every ([1-9][0-9]{0,4}[smh]){1,3}$|^[0-9A-Za-z*?,/-]+( +[0-9A-Za-z*?,/-]+){4}$')`,message="poll must be a cron expression with five fields, such as */5 * * * *, or @hourly, @daily, @weekly, @monthly, @yearly, or @every with a duration in whole s, m or h, such as @every 90s"
	// +kubebuilder:validation:XValidation:rule=`self.startsWith('@') || self.split(' ').filter(f, f != '').size() != 5 || [0, 1, 2, 3, 4].all(i, self.split(' ').filter(f, f != '')[i].findAll('[0-9]+').all(n, size(n) < 3 && int(n) <= [59, 23, 31, 12, 6][i]))`,message="poll has a number that is too large for its field: minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-6"
	Poll string `json:"poll,omitempty"`

	// timeZone is the time zone of poll, by its IANA name, such as Europe/Amsterdam. Defaults to UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$') && self != 'Local'`,message="timeZone must be an IANA name, such as Europe/Amsterdam"
	TimeZone string `json:"timeZone,omitempty"`

	// webhook allows the Git server to notify the agent of a push, at /hooks/<name of this Repository>.
	// +optional
	Webhook *Webhook `json:"webhook,omitempty"`

	// feedback lets the agent report to the forge what runs: as commit statuses, and as a note in merge requests.
	// +optional
	Feedback *Feedback `json:"feedback,omitempty"`

	// goneAfter is how long a branch must be missing, in at least two complete listings in a row, before its environment
	// is torn down: a number with ms, s, m or h, or several, such as 1h30m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	GoneAfter metav1.Duration `json:"goneAfter,omitzero"`

	// limits bound what the agent accepts from the Git server.
	// +optional
	// +kubebuilder:default={}
	Limits Limits `json:"limits,omitzero"`

	// suspend stops the listing of branches, so that pushes have no effect. What runs is still corrected; to stop that
	// too, suspend the Environment.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// environments are the entries that define which branches get an environment, from which folder, and in which
	// namespace. A branch that matches two entries gets two Environments.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Environments []Entry `json:"environments"`
}

// SecretReference names a Secret in the agent's namespace.
type SecretReference struct {
	// name is the name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Webhook defines how the agent authenticates deliveries of the Git server.
type Webhook struct {
	// secretRef names the Secret with the key token, or signingToken, or both, and during their rotation token.previous
	// and signingToken.previous.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}

// Limits bound what the agent accepts from a Git server.
type Limits struct {
	// branches is the maximum number of branches. If the repository has more, the agent follows only the branches that
	// entries name.
	// +optional
	// +kubebuilder:default=100000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	Branches int32 `json:"branches,omitempty"`

	// listingBytes is the maximum size of one list of branches, uncompressed. A server without protocol version 2 sends
	// all its references, including tags and merge requests.
	// +optional
	// +kubebuilder:default="64Mi"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`quantity(string(self)).isGreaterThan(quantity('0'))`,message="listingBytes must be more than 0"
	ListingBytes resource.Quantity `json:"listingBytes,omitzero"`

	// environments is the maximum number of environments of all entries with patterns together, including Queued ones.
	// Further branches get none, and the condition BranchesLeftOut reports them.
	// +optional
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Environments int32 `json:"environments,omitempty"`

	// fetchBytes is the maximum size of one fetch.
	// +optional
	// +kubebuilder:default="1Gi"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`quantity(string(self)).isGreaterThan(quantity('0'))`,message="fetchBytes must be more than 0"
	FetchBytes resource.Quantity `json:"fetchBytes,omitzero"`

	// fileBytes is the maximum size of a file under an entry's path.
	// +optional
	// +kubebuilder:default="10Mi"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`quantity(string(self)).isGreaterThan(quantity('0'))`,message="fileBytes must be more than 0"
	FileBytes resource.Quantity `json:"fileBytes,omitzero"`

	// files is the maximum number of files under an entry's path.
	// +optional
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	Files int32 `json:"files,omitempty"`

	// fetchTimeout is the maximum duration of one fetch: a number with ms, s, m or h, or several.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	FetchTimeout metav1.Duration `json:"fetchTimeout,omitzero"`
}

// RepositoryStatus is what the agent knows of a repository. The agent writes it only when a branch or a condition
// changes.
type RepositoryStatus struct {
	// observedGeneration is the generation of the spec that the conditions refer to.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// agent is the name of the agent that follows the Repository here; empty if that agent has no name. It runs the entries
	// with the same agent, and leaves all others alone.
	// +optional
	Agent string `json:"agent,omitempty"`

	// conditions are Ready; Reconciling, Stalled, BranchesLeftOut, ClusterUnavailable and ClusterAccessExpires while they are
	// true; and Feedback if spec.feedback is
	// set.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// lastChangeTime is when the agent last saw a branch move, appear or disappear.
	// +optional
	LastChangeTime *metav1.Time `json:"lastChangeTime,omitempty"`

	// lastHookTime is when a webhook last reported such a change.
	// +optional
	LastHookTime *metav1.Time `json:"lastHookTime,omitempty"`

	// handledRequest is the last value of the annotation berth.dev/requested that the agent acted on.
	// +optional
	HandledRequest string `json:"handledRequest,omitempty"`

	// handledConfirmation is the last value of the annotation berth.dev/confirmed that the agent acted on. It allowed the
	// deletions that were blocked at that time, and no later ones.
	// +optional
	HandledConfirmation string `json:"handledConfirmation,omitempty"`

	// held are the Environments whose deletion waits for a confirmation, because too many would be deleted at once.
	// +optional
	// +listType=set
	Held []string `json:"held,omitempty"`

	// confirmed are the Environments among them whose deletion a user confirmed, until they are gone.
	// +optional
	// +listType=set
	Confirmed []string `json:"confirmed,omitempty"`
}
