package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Environment is what one branch runs, in one namespace. The agent creates and deletes it; users may set pin and
// suspend. Everyone who can write an Environment decides what is deployed there.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=env,categories=berth
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
// +kubebuilder:printcolumn:name="Branch",type=string,JSONPath=`.spec.branch`
// +kubebuilder:printcolumn:name="Commit",type=string,JSONPath=`.status.shortCommit`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Link",type=string,JSONPath=`.status.link`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster`,priority=1
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.namespace`,priority=1
// +kubebuilder:printcolumn:name="Pin",type=string,JSONPath=`.spec.pin`,priority=1
// +kubebuilder:printcolumn:name="Committed",type=date,JSONPath=`.status.commitTime`,priority=1,description="The age of the commit"
// +kubebuilder:printcolumn:name="Author",type=string,JSONPath=`.status.commitAuthor`,priority=1
// +kubebuilder:printcolumn:name="Subject",type=string,JSONPath=`.status.commitSubject`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule=`size(self.metadata.name) <= 63 && self.metadata.name.startsWith(self.spec.repository + '.' + self.spec.entry + '.')`,message="metadata.name must be <repository>.<entry>.<branch slug>, at most 63 characters"
type Environment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec defines which branch runs where. The agent owns all fields but pin and suspend, which are for users.
	// +required
	Spec EnvironmentSpec `json:"spec"`

	// status is what runs, its health, and what was tried. Only the agent writes it.
	// +optional
	Status EnvironmentStatus `json:"status,omitzero"`
}

// EnvironmentList is a list of Environments.
//
// +kubebuilder:object:root=true
type EnvironmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Environment `json:"items"`
}

// EnvironmentSpec defines which branch runs where. The agent owns all fields but pin and suspend.
//
// +kubebuilder:validation:XValidation:rule=`has(self.cluster) == has(oldSelf.cluster) && (!has(self.cluster) || self.cluster == oldSelf.cluster)`,message="cluster cannot be changed: what runs does not move; delete the Environment and the agent re-creates it",fieldPath=".cluster"
type EnvironmentSpec struct {
	// repository is the name of the Repository in this namespace. It cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf`,message="repository cannot be changed: it says what runs here"
	Repository string `json:"repository"`

	// entry is the name of the entry in the Repository's environments. It cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf`,message="entry cannot be changed: it says what runs here"
	Entry string `json:"entry"`

	// agent is the name of the agent that runs this Environment; empty if the agent has no name. The agent sets it from the
	// entry.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Agent string `json:"agent,omitempty"`

	// branch is the branch that runs here, without refs/heads/. It cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf`,message="branch cannot be changed: it says what runs here"
	Branch string `json:"branch"`

	// namespace is the namespace of the objects. It cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf`,message="namespace cannot be changed: what runs does not move; delete the Environment and the agent re-creates it"
	Namespace string `json:"namespace"`

	// cluster is the name of the Secret with the kubeconfig of the cluster in which the objects are; empty for the agent's own
	// cluster. It cannot be changed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Cluster string `json:"cluster,omitempty"`

	// serviceAccountName is the account in namespace with which objects are applied, if the entry names one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// onRemoval is a copy of the entry's onRemoval. It is kept here because it must outlive the entry.
	// +optional
	OnRemoval RemovalPolicy `json:"onRemoval,omitempty"`

	// commit is the head of the branch in the last listing.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([0-9a-f]{40}|[0-9a-f]{64})$')`,message="commit must be a full commit id, in lower case"
	Commit string `json:"commit,omitempty"`

	// pin is the commit to stay at, whatever is pushed: one of status.history, or one that the branch contains. It is for
	// users.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([0-9a-f]{40}|[0-9a-f]{64})$')`,message="pin must be a full commit id, in lower case: git rev-parse prints it"
	Pin string `json:"pin,omitempty"`

	// suspend stops all changes to the environment, including the correction of drift. It is for users.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// EnvironmentStatus is what runs, its health, and what was tried.
type EnvironmentStatus struct {
	// observedGeneration is the generation of the spec that the conditions refer to.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready and, while they are true, Reconciling, Stalled, ExpiresSoon, Moved and BranchGone. The reason of
	// Ready is Healthy, Queued, Waiting, Syncing, Degraded, Failed, RolledBack, Suspended, Expiring, Expired or
	// Deleting; its message names the worst object, and why.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// link is the address of the environment for its users.
	// +optional
	Link string `json:"link,omitempty"`

	// shortCommit is the abbreviated id of the commit that the conditions refer to: the one that the agent runs, or tries
	// to run.
	// +optional
	ShortCommit string `json:"shortCommit,omitempty"`

	// commitTime is when that commit was made.
	// +optional
	CommitTime *metav1.Time `json:"commitTime,omitempty"`

	// commitAuthor is the name of that commit's author.
	// +optional
	CommitAuthor string `json:"commitAuthor,omitempty"`

	// commitSubject is the first paragraph of that commit's message, on one line.
	// +optional
	CommitSubject string `json:"commitSubject,omitempty"`

	// appliedCommit is the last commit that was applied completely.
	// +optional
	AppliedCommit string `json:"appliedCommit,omitempty"`

	// healthyCommit is the last commit that became healthy.
	// +optional
	HealthyCommit string `json:"healthyCommit,omitempty"`

	// objects counts the objects of the environment.
	// +optional
	Objects *ObjectCount `json:"objects,omitempty"`

	// unhealthy lists at most 20 objects that are not healthy, the worst first.
	// +optional
	// +listType=atomic
	Unhealthy []UnhealthyObject `json:"unhealthy,omitempty"`

	// warnings are at most 20 notes on manifests that work, but probably do not do what their author meant, with file and
	// line where known. They block nothing.
	// +optional
	// +listType=atomic
	Warnings []string `json:"warnings,omitempty"`

	// blockedDeletions are the objects that left Git and wait for a confirmation, because too many would be deleted at once.
	// It is absent if there are none.
	// +optional
	BlockedDeletions *BlockedDeletions `json:"blockedDeletions,omitempty"`

	// jobs lists the outcomes of the environment's Jobs.
	// +optional
	// +listType=atomic
	Jobs []JobStatus `json:"jobs,omitempty"`

	// sync is how far the newest sync is, and how long its steps took. Commits that change nothing are not synced.
	// +optional
	Sync *SyncProgress `json:"sync,omitempty"`

	// history lists the last 10 syncs, the newest first.
	// +optional
	// +listType=atomic
	History []SyncStatus `json:"history,omitempty"`

	// lastActivityTime is when the branch last moved, or a user last requested something here.
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`

	// activity is a digest of the state at that time. When it changes, there was new activity.
	// +optional
	Activity string `json:"activity,omitempty"`

	// expiresAt is when the namespace will be deleted unless there is activity before.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// feedback is what was last reported to the forge.
	// +optional
	Feedback *EnvironmentFeedback `json:"feedback,omitempty"`

	// handledRequest is the last value of the annotation berth.dev/requested that the agent acted on.
	// +optional
	HandledRequest string `json:"handledRequest,omitempty"`

	// handledRetry is the last value of the annotation berth.dev/retry that the agent acted on.
	// +optional
	HandledRetry string `json:"handledRetry,omitempty"`

	// handledConfirmation is the last value of the annotation berth.dev/confirmed that the agent acted on. It allowed
	// what was blocked at that time, and nothing else.
	// +optional
	HandledConfirmation string `json:"handledConfirmation,omitempty"`

	// lastAct is the last value of the annotation berth.dev/requested-by that the agent has read.
	// +optional
	LastAct *LastAct `json:"lastAct,omitempty"`
}

// LastAct identifies the last act of a user, so that it counts for one sync only.
type LastAct struct {
	// id is the id of the act.
	ID string `json:"id"`
	// waits is the commit whose sync has to wait before it can begin, such as for its images. The sync then counts as
	// requested by the act, unless another commit replaces this one.
	// +optional
	Waits string `json:"waits,omitempty"`
}

// ObjectCount counts the objects of an environment.
type ObjectCount struct {
	// total is how many objects Git has.
	Total int32 `json:"total"`
	// healthy is how many of them are in the cluster and healthy.
	Healthy int32 `json:"healthy"`
}

// UnhealthyObject is an object that is not healthy, and why.
type UnhealthyObject struct {
	// kind is the kind of the object.
	Kind string `json:"kind"`
	// namespace is the namespace of the object, if it differs from the environment's.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// name is the name of the object.
	Name string `json:"name"`
	// health is Progressing, Failed, Suspended, Terminating or Unknown.
	Health string `json:"health"`
	// message is the reason that the cluster gives.
	// +optional
	Message string `json:"message,omitempty"`
	// log is the last lines of the container that failed, without the values of Secrets. It is present only for entries
	// with a pattern.
	// +optional
	Log string `json:"log,omitempty"`
}

// BlockedDeletions are objects that the agent does not delete before a user confirms it.
type BlockedDeletions struct {
	// total is how many objects would be deleted.
	Total int32 `json:"total"`
	// objects names at most 20 of them: KIND/NAME, or KIND/NAMESPACE/NAME outside the environment's namespace.
	// +listType=atomic
	Objects []string `json:"objects"`
	// digest identifies all of them. With a value that ends with "@" and the digest, the annotation berth.dev/confirmed allows
	// the deletion of these objects only.
	Digest string `json:"digest"`
}

// JobOnRemoval is the outcome of a Job that runs only when the environment is removed.
const JobOnRemoval = "OnRemoval"

// JobStatus is the outcome of a Job. It is kept as long as the Job is in Git, even without the object in the cluster.
type JobStatus struct {
	// name is the name of the Job.
	Name string `json:"name"`
	// outcome is Running, Complete or Failed, or OnRemoval for a Job that runs only when the environment is removed.
	Outcome string `json:"outcome"`
	// finishedAt is when the Job ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// The actions that the annotation berth.dev/requested-by may name.
const (
	ActionRetry   = "retry"
	ActionConfirm = "confirm"
	ActionPin     = "pin"
	ActionUnpin   = "unpin"
	ActionSuspend = "suspend"
	ActionResume  = "resume"
)

// Requester is a user and what the user did. The client that sent the request states the name, and the agent does not
// verify it: whoever may update the Environment could state another. The API server's audit log has the proof.
type Requester struct {
	// action is retry, pin, unpin or resume: it began the sync. Or it is confirm: it allowed the deletions that blocked a
	// sync which a push began.
	Action string `json:"action"`
	// user is the name of the user, without control characters.
	User string `json:"user"`
}

// String returns a text such as "pin by ada".
func (r *Requester) String() string {
	if r == nil {
		return ""
	}
	return r.Action + " by " + r.User
}

// SyncStatus is a past sync.
type SyncStatus struct {
	// commit is the commit that was synced.
	Commit string `json:"commit"`
	// outcome is Healthy, Failed, RolledBack or Superseded.
	Outcome string `json:"outcome"`
	// time is when the sync ended.
	Time metav1.Time `json:"time"`
	// took is how long the sync took.
	// +optional
	Took metav1.Duration `json:"took,omitzero"`
	// reason is why the sync did not become healthy.
	// +optional
	Reason string `json:"reason,omitempty"`
	// requestedBy is who requested the sync, as the client stated it. It is absent if a push began the sync.
	// +optional
	RequestedBy *Requester `json:"requestedBy,omitempty"`
}
