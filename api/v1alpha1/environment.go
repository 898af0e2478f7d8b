package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Environment is what one branch runs, in one namespace. The agent makes and deletes it; people may set pin
// and suspend. Whoever can write an Environment decides what is deployed there.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=env,categories=berth
// +kubebuilder:printcolumn:name="Branch",type=string,JSONPath=`.spec.branch`
// +kubebuilder:printcolumn:name="Commit",type=string,JSONPath=`.status.shortCommit`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Link",type=string,JSONPath=`.status.link`
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

	// spec says which branch runs where. The agent applies its own fields of it, and leaves people theirs.
	// +required
	Spec EnvironmentSpec `json:"spec"`

	// status is the agent's: what runs, how it is, and what was tried.
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

// EnvironmentSpec says which branch runs where. All but pin and suspend are the agent's.
type EnvironmentSpec struct {
	// repository is the name of the Repository, in this namespace. It cannot be changed.
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

	// branch that runs here, without refs/heads/. It cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf`,message="branch cannot be changed: it says what runs here"
	Branch string `json:"branch"`

	// namespace that the objects go to. It cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule=`self == oldSelf`,message="namespace cannot be changed: what runs does not move; delete the Environment and the agent makes it anew"
	Namespace string `json:"namespace"`

	// serviceAccountName is the account in namespace that objects are applied as, if the entry names one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// onRemoval is what the entry says of removal. It is kept here because it must outlive the entry.
	// +optional
	OnRemoval RemovalPolicy `json:"onRemoval,omitempty"`

	// commit is the head of the branch as it was last listed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([0-9a-f]{40}|[0-9a-f]{64})$')`,message="commit must be a full commit id, in lower case"
	Commit string `json:"commit,omitempty"`

	// pin is a person's: stay at this commit, one of the history or one that the branch reaches, whatever is
	// pushed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([0-9a-f]{40}|[0-9a-f]{64})$')`,message="pin must be a full commit id, in lower case: git rev-parse prints it"
	Pin string `json:"pin,omitempty"`

	// suspend is a person's: leave everything as it is, the correction of drift included.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// EnvironmentStatus is what runs, how it is, and what was tried.
type EnvironmentStatus struct {
	// observedGeneration is the generation of the spec that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready and, while they are true, Reconciling, Stalled, ExpiresSoon, Moved and BranchGone. The reason of
	// Ready is Healthy, Queued, Waiting, Syncing, Degraded, Failed, RolledBack, Suspended, Expiring, Expired or
	// Deleting; its message names the worst object, and why.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// link is the address of the environment for people.
	// +optional
	Link string `json:"link,omitempty"`

	// shortCommit is the beginning of the commit that the conditions speak of: what the agent runs or is trying to.
	// +optional
	ShortCommit string `json:"shortCommit,omitempty"`

	// commitTime is when that commit was made.
	// +optional
	CommitTime *metav1.Time `json:"commitTime,omitempty"`

	// commitAuthor is the name of that commit's author, as the commit says.
	// +optional
	CommitAuthor string `json:"commitAuthor,omitempty"`

	// commitSubject is the first paragraph of that commit's message, in one line.
	// +optional
	CommitSubject string `json:"commitSubject,omitempty"`

	// appliedCommit is the last commit that was applied as a whole.
	// +optional
	AppliedCommit string `json:"appliedCommit,omitempty"`

	// healthyCommit is the last commit that passed the gate.
	// +optional
	HealthyCommit string `json:"healthyCommit,omitempty"`

	// objects counts what the environment has.
	// +optional
	Objects *ObjectCount `json:"objects,omitempty"`

	// unhealthy lists what is not healthy, the worst first, at most 20.
	// +optional
	// +listType=atomic
	Unhealthy []UnhealthyObject `json:"unhealthy,omitempty"`

	// warnings are about what works and probably does not do what its author meant, with file and line where it is
	// in Git; at most 20. They stop nothing.
	// +optional
	// +listType=atomic
	Warnings []string `json:"warnings,omitempty"`

	// jobs lists how the Jobs of the environment ended.
	// +optional
	// +listType=atomic
	Jobs []JobStatus `json:"jobs,omitempty"`

	// history lists the last 10 syncs, the newest first.
	// +optional
	// +listType=atomic
	History []SyncStatus `json:"history,omitempty"`

	// lastActivityTime is when the branch last moved, or a person last asked for something here.
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`

	// activity stands for what was seen then: when it is another, somebody has been active.
	// +optional
	Activity string `json:"activity,omitempty"`

	// expiresAt is when the namespace will be deleted if nothing happens until then.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// handledRequest is the last value of the annotation berth.dev/requested that was acted upon.
	// +optional
	HandledRequest string `json:"handledRequest,omitempty"`

	// handledRetry is the last value of the annotation berth.dev/retry that was acted upon.
	// +optional
	HandledRetry string `json:"handledRetry,omitempty"`

	// handledConfirmation is the last value of the annotation berth.dev/confirmed that was seen. It has let go
	// what was held then, and lets go nothing else.
	// +optional
	HandledConfirmation string `json:"handledConfirmation,omitempty"`
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
	// kind of the object.
	Kind string `json:"kind"`
	// namespace of the object, if it is not the environment's own.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// name of the object.
	Name string `json:"name"`
	// health is Progressing, Failed, Suspended, Terminating or Unknown.
	Health string `json:"health"`
	// message says why, in the cluster's own words.
	// +optional
	Message string `json:"message,omitempty"`
	// log has the last lines of the container that failed, without the values of Secrets; only in environments
	// of entries with a pattern.
	// +optional
	Log string `json:"log,omitempty"`
}

// JobOnRemoval is the outcome of a Job that runs when the environment goes, and not before.
const JobOnRemoval = "OnRemoval"

// JobStatus is how a Job ended, for as long as the Job is in Git; it outlives the object in the cluster.
type JobStatus struct {
	// name of the Job.
	Name string `json:"name"`
	// outcome is Running, Complete or Failed; or OnRemoval of a Job that runs when the environment goes.
	Outcome string `json:"outcome"`
	// finishedAt is when it ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// SyncStatus is one sync of the past.
type SyncStatus struct {
	// commit that was synced.
	Commit string `json:"commit"`
	// outcome is Healthy, Failed, RolledBack or Superseded.
	Outcome string `json:"outcome"`
	// time at which the sync ended.
	Time metav1.Time `json:"time"`
	// took is how long the sync went on.
	// +optional
	Took metav1.Duration `json:"took,omitzero"`
	// reason says why the sync ended so, if it did not end well.
	// +optional
	Reason string `json:"reason,omitempty"`
}
