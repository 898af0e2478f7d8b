package v1alpha1

// Feedback defines what the agent reports to the forge, where developers see it: commit statuses, and a note in every
// open merge request.
//
// +kubebuilder:validation:XValidation:rule=`self.statuses != 'Never' || self.note != 'Never' || self.deployments != 'Never'`,message="feedback reports nothing if statuses, note and deployments are all Never: leave feedback out"
// +kubebuilder:validation:XValidation:rule=`!has(self.plan) || self.note != 'Never'`,message="the plan is a part of the note: leave plan out, or set note to Sticky",fieldPath=".plan"
// +kubebuilder:validation:XValidation:rule=`self.deployments == 'Never' || !(has(self.provider) && self.provider == 'Gitea')`,message="Gitea and Forgejo have no deployments: leave deployments out",fieldPath=".deployments"
type Feedback struct {
	// provider is the API of the forge: GitLab, GitHub, or Gitea, which is also Forgejo's. Defaults to the one whose name
	// is part of the host's name.
	// +optional
	Provider ForgeProvider `json:"provider,omitempty"`

	// url is the address of the forge: https or http, without the path of the repository. It is needed if the forge is not
	// at the root of the host of spec.url, or has a different host or port there. Defaults to https and the host of
	// spec.url, or to spec.url without its path.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^https?://[^/\s@?#]+(/[^\s?#]*)?$')`,message="url must be https://HOST or http://HOST, perhaps with a port and a path, and must not hold credentials"
	URL string `json:"url,omitempty"`

	// secretRef names the Secret in this namespace with the access token as token, or for a GitHub App with githubAppID,
	// githubAppInstallationID and githubAppPrivateKey; and ca.crt for a server with a certificate of a private authority.
	// Without ca.crt, the one of spec.secretRef is used.
	// +required
	SecretRef SecretReference `json:"secretRef"`

	// statuses is how a commit status is reported for each environment. Informative statuses are never failed or pending
	// for long where this would block a merge: their text says what happened. Blocking statuses fail if the sync fails.
	// With Never there are none.
	// +optional
	// +kubebuilder:default=Informative
	Statuses StatusPolicy `json:"statuses,omitempty"`

	// note is Sticky for one note in each open merge request, which the agent edits; or Never.
	// +optional
	// +kubebuilder:default=Sticky
	Note NotePolicy `json:"note,omitempty"`

	// plan, also if it is {}, adds to the note what merging would do to each environment whose entry names the target branch:
	// which objects are added, changed and removed, which Jobs run, what the deletion guard would block, and what the cluster
	// would refuse. Encrypted values are compared without decrypting them.
	// +optional
	Plan *MergePlan `json:"plan,omitempty"`

	// deployments is Recorded if GitHub or GitLab records each sync as a deployment to an environment of the forge, with its
	// address; or Never. An environment has the name that GitLab CI would use: <entry>, or <entry>/<branch> for an entry with a
	// pattern.
	// +optional
	// +kubebuilder:default=Never
	Deployments DeploymentPolicy `json:"deployments,omitempty"`
}

// MergePlan selects the merge requests that get a plan.
type MergePlan struct {
	// forks also plans merge requests of forks. Then whoever can open one lets the agent fetch, render and validate content of
	// their choice, and sees what the cluster answers to it. Defaults to false.
	// +optional
	Forks bool `json:"forks,omitempty"`
}

// DeploymentPolicy is whether the forge records deployments.
//
// +kubebuilder:validation:Enum=Recorded;Never
type DeploymentPolicy string

// The ways.
const (
	DeploymentsRecorded DeploymentPolicy = "Recorded"
	DeploymentsNever    DeploymentPolicy = "Never"
)

// ForgeProvider is the API of a forge.
//
// +kubebuilder:validation:Enum=GitLab;GitHub;Gitea
type ForgeProvider string

// The APIs.
const (
	ForgeGitLab ForgeProvider = "GitLab"
	ForgeGitHub ForgeProvider = "GitHub"
	// ForgeGitea is the API of Gitea and Forgejo.
	ForgeGitea ForgeProvider = "Gitea"
)

// StatusPolicy is how commit statuses are reported.
//
// +kubebuilder:validation:Enum=Informative;Blocking;Never
type StatusPolicy string

// The ways.
const (
	// StatusesInformative never block a merge.
	StatusesInformative StatusPolicy = "Informative"
	// StatusesBlocking fail if the sync fails, and are pending until it ends.
	StatusesBlocking StatusPolicy = "Blocking"
	// StatusesNever reports none.
	StatusesNever StatusPolicy = "Never"
)

// NotePolicy is whether merge requests get a note.
//
// +kubebuilder:validation:Enum=Sticky;Never
type NotePolicy string

// The ways.
const (
	NoteSticky NotePolicy = "Sticky"
	NoteNever  NotePolicy = "Never"
)

// EnvironmentFeedback is what the forge was last told about an environment. The agent does not repeat it.
type EnvironmentFeedback struct {
	// project identifies the project at the forge that the other fields are about: its API and its address. If spec.url or
	// spec.feedback of the Repository lead to another project, the agent ignores them and reports everything there.
	// +optional
	Project string `json:"project,omitempty"`
	// name is the name of the last commit status.
	// +optional
	Name string `json:"name,omitempty"`
	// commit is the commit of the last commit status.
	// +optional
	Commit string `json:"commit,omitempty"`
	// state is the state of that status: Pending, Running, Success, Failed or Canceled.
	// +optional
	State string `json:"state,omitempty"`
	// digest identifies that status with its text and link.
	// +optional
	Digest string `json:"digest,omitempty"`
	// pipeline is the pipeline to which GitLab added that status.
	// +optional
	Pipeline int64 `json:"pipeline,omitempty"`
	// notes are the agent's notes in merge requests of the branch.
	// +optional
	// +listType=map
	// +listMapKey=mergeRequest
	Notes []MergeRequestNote `json:"notes,omitempty"`
	// plans are the agent's notes in merge requests into this environment's branch whose own branch has no environment.
	// +optional
	// +listType=map
	// +listMapKey=mergeRequest
	Plans []MergeRequestNote `json:"plans,omitempty"`
	// deployment is the last deployment that the forge recorded.
	// +optional
	Deployment *DeploymentRecord `json:"deployment,omitempty"`
	// error is why the forge does not show the current state yet.
	// +optional
	Error string `json:"error,omitempty"`
}

// MergeRequestNote is the agent's note in one merge request.
type MergeRequestNote struct {
	// mergeRequest is the number of the merge request.
	MergeRequest int64 `json:"mergeRequest"`
	// id identifies the note at the forge.
	ID int64 `json:"id"`
	// digest identifies the note's content, except its plan.
	// +optional
	Digest string `json:"digest,omitempty"`
	// plan identifies what the plan in the note depends on.
	// +optional
	Plan string `json:"plan,omitempty"`
}

// DeploymentRecord is a deployment that the forge recorded.
type DeploymentRecord struct {
	// id identifies the deployment at the forge; absent if the forge records it only once the sync begins.
	// +optional
	ID int64 `json:"id,omitempty"`
	// environment is the name of the environment at the forge.
	Environment string `json:"environment"`
	// commit is the deployed commit.
	Commit string `json:"commit"`
	// state is the state of the deployment, like that of the commit status.
	State string `json:"state"`
	// digest identifies the state with its text and link.
	// +optional
	Digest string `json:"digest,omitempty"`
}
