package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Repository is a Git repository and the environments that its branches get. An administrator writes it, in
// the agent's namespace; the agent makes an Environment for each pair of entry and matching branch.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=repo,categories=berth
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Last change",type=date,JSONPath=`.status.lastChangeTime`,description="How long ago a branch moved, came or went"
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule=`!self.metadata.name.contains('.')`,message="metadata.name must not contain a dot: dots separate it from the entry in the names of Environments"
// +kubebuilder:validation:XValidation:rule=`self.spec.environments.all(e, e.branches.all(b, size(self.metadata.name) + size(e.name) <= (size(b) > 33 || b.matches(r'[*?]') ? 21 : 54 - size(b))))`,message="an Environment's name, <repository>.<entry>.<branch slug>, must fit 63 characters: with a pattern or a long branch, metadata.name and the entry's name may have 21 together; shorten one"
type Repository struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says where the repository is and what becomes of its branches.
	// +required
	Spec RepositorySpec `json:"spec"`

	// status is the agent's. Nothing in it changes because of a mere poll.
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

// RepositorySpec says where a repository is and what becomes of its branches.
type RepositorySpec struct {
	// url of the repository: https, http or ssh, without credentials in it. file is for tests; the agent refuses
	// it unless it runs with --allow-file-urls.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^((https?|ssh)://[^/\s]+/\S+|file:///\S+)$')`,message="url must be https://HOST/PATH, http://HOST/PATH or ssh://[USER@]HOST[:PORT]/PATH; write git@HOST:PATH as ssh://git@HOST/PATH"
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^https?://[^/]*@|^ssh://[^/]*:[^/]*@')`,message="url must not hold credentials: put them into a Secret and name it in secretRef"
	URL string `json:"url"`

	// secretRef names the Secret with the credentials for url, in this namespace. Its entries: username and
	// password, or bearerToken, or identity (an SSH key) and known_hosts; and ca.crt for a server with a
	// certificate of a private authority. A public repository needs none.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// poll says when to list the branches: a cron expression with five fields, @hourly and its like, or @every
	// with a duration. The poll is the truth; a webhook only makes the next one come sooner.
	// +optional
	// +kubebuilder:default="@every 1m"
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^(CRON_)?TZ=')`,message="poll must not hold a time zone: put it into timeZone"
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^(CRON_)?TZ=|^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$|^@every ([1-9][0-9]{0,4}[smh]){1,3}$|^[0-9A-Za-z*?,/-]+( +[0-9A-Za-z*?,/-]+){4}$')`,message="poll must be a cron expression with five fields, such as */5 * * * *, or @hourly, @daily, @weekly, @monthly, @yearly, or @every with a duration in whole s, m or h, such as @every 90s"
	// +kubebuilder:validation:XValidation:rule=`self.startsWith('@') || self.split(' ').filter(f, f != '').size() != 5 || [0, 1, 2, 3, 4].all(i, self.split(' ').filter(f, f != '')[i].findAll('[0-9]+').all(n, size(n) < 3 && int(n) <= [59, 23, 31, 12, 6][i]))`,message="poll has a number that is too large for its field: minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-6"
	Poll string `json:"poll,omitempty"`

	// timeZone in which poll is read, by its IANA name, such as Europe/Amsterdam. UTC without it.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$') && self != 'Local'`,message="timeZone must be an IANA name, such as Europe/Amsterdam"
	TimeZone string `json:"timeZone,omitempty"`

	// webhook lets the Git server tell of a push, at /hooks/<name of this Repository>.
	// +optional
	Webhook *Webhook `json:"webhook,omitempty"`

	// goneAfter says for how long a branch must be missing, in two complete listings in a row, before its
	// environment is torn down. A number with ms, s, m or h, or several: 1h30m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	GoneAfter metav1.Duration `json:"goneAfter,omitzero"`

	// limits bound what is taken from the Git server.
	// +optional
	// +kubebuilder:default={}
	Limits Limits `json:"limits,omitzero"`

	// suspend stops listing, and with it everything that follows from a push. What runs stays as it is, and is
	// still corrected; to stop that too, suspend the Environment.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// environments say which branches get an environment, from which folder, in which namespace. Every entry
	// matches by itself: a branch that matches two entries gets two Environments.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Environments []Entry `json:"environments"`
}

// SecretReference names a Secret in the agent's namespace.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Webhook says how deliveries of the Git server prove that they are its own.
type Webhook struct {
	// secretRef names the Secret with token, or signingToken, or both; and, while they are being changed,
	// token.previous and signingToken.previous.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}

// Limits bound what is taken from a Git server.
type Limits struct {
	// branches is the most that the repository may have. Beyond it only the branches that entries name are followed.
	// +optional
	// +kubebuilder:default=100000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	Branches int32 `json:"branches,omitempty"`

	// listingBytes is the most that one list of branches may transfer, unpacked. A server that does not speak
	// protocol version 2 sends all its references, tags and merge requests included.
	// +optional
	// +kubebuilder:default="64Mi"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`quantity(string(self)).isGreaterThan(quantity('0'))`,message="listingBytes must be more than 0"
	ListingBytes resource.Quantity `json:"listingBytes,omitzero"`

	// environments is the most that entries with patterns may have together, Queued ones included. Further branches
	// get none, which the condition BranchesLeftOut says.
	// +optional
	// +kubebuilder:default=2000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Environments int32 `json:"environments,omitempty"`

	// fetchBytes is the most that one fetch may transfer.
	// +optional
	// +kubebuilder:default="1Gi"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`quantity(string(self)).isGreaterThan(quantity('0'))`,message="fetchBytes must be more than 0"
	FetchBytes resource.Quantity `json:"fetchBytes,omitzero"`

	// fileBytes is the most that a file under an entry's path may have.
	// +optional
	// +kubebuilder:default="10Mi"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`quantity(string(self)).isGreaterThan(quantity('0'))`,message="fileBytes must be more than 0"
	FileBytes resource.Quantity `json:"fileBytes,omitzero"`

	// files is the most that may lie under an entry's path.
	// +optional
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	Files int32 `json:"files,omitempty"`

	// fetchTimeout is the longest that one fetch may take. A number with ms, s, m or h, or several.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(ms|s|m|h)){1,5}$`
	FetchTimeout metav1.Duration `json:"fetchTimeout,omitzero"`
}

// RepositoryStatus is what the agent knows of a repository. It is written when a branch or a condition
// changes, never because of a mere poll.
type RepositoryStatus struct {
	// observedGeneration is the generation of the spec that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready and, while they are true, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// lastChangeTime is when a branch was last seen to have moved, come or gone.
	// +optional
	LastChangeTime *metav1.Time `json:"lastChangeTime,omitempty"`

	// lastHookTime is when a webhook last told of such a change.
	// +optional
	LastHookTime *metav1.Time `json:"lastHookTime,omitempty"`

	// handledRequest is the last value of the annotation berth.dev/requested that was acted upon.
	// +optional
	HandledRequest string `json:"handledRequest,omitempty"`

	// handledConfirmation is the last value of the annotation berth.dev/confirmed that was acted upon: it lets
	// those go that were held, and no others after them.
	// +optional
	HandledConfirmation string `json:"handledConfirmation,omitempty"`

	// held are the Environments that are to go and wait for a confirmation, because they are too many at once.
	// +optional
	// +listType=set
	Held []string `json:"held,omitempty"`

	// confirmed are those of them that somebody let go, until they are gone.
	// +optional
	// +listType=set
	Confirmed []string `json:"confirmed,omitempty"`
}
