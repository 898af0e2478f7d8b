package v1alpha1

// The types of the conditions that both objects carry. They follow the conventions of kstatus, so that
// `kubectl wait --for=condition=Ready` and every tool that reads kstatus understand them: Reconciling and
// Stalled are present only while they are true.
const (
	ConditionReady       = "Ready"
	ConditionReconciling = "Reconciling"
	ConditionStalled     = "Stalled"
)

// The types of conditions of an Environment beside them, present only while they are true.
const (
	// ConditionExpiresSoon says that the namespace will be deleted before long, and what keeps it.
	ConditionExpiresSoon = "ExpiresSoon"
	// ConditionMoved says that the entry now names another namespace, and that what runs waits for a person.
	ConditionMoved = "Moved"
	// ConditionBranchGone says since when the branch is gone, when the environment is deleted, and what keeps it.
	ConditionBranchGone = "BranchGone"
)

// ConditionBranchesLeftOut is a Repository's, present only while it is true: some branches match an entry and get no
// environment, for the reason that it has.
const (
	ConditionBranchesLeftOut = "BranchesLeftOut"
	// ReasonUnusable says that the names of branches cannot be shown or written safely.
	ReasonUnusable = "Unusable"
	// ReasonTooMany says that spec.limits.environments is reached.
	ReasonTooMany = "TooMany"
)

// The reasons of an Environment's Ready condition: the one word that people read. The condition's message
// names the worst object, and why.
const (
	// ReasonHealthy says that everything is applied and has passed the gate. It alone makes Ready true.
	ReasonHealthy = "Healthy"
	// ReasonQueued says that the entry's limit, or the agent's, is reached, and which place the environment has.
	ReasonQueued = "Queued"
	// ReasonWaiting says that something must come first which the agent does not make, such as a namespace's end
	// or a person's confirmation.
	ReasonWaiting = "Waiting"
	// ReasonSyncing says that objects are being applied, or that the gate waits for them to settle.
	ReasonSyncing = "Syncing"
	// ReasonDegraded says that an environment which had passed the gate is not healthy any more.
	ReasonDegraded = "Degraded"
	// ReasonFailed says that the commit could not be rendered or applied, or did not pass the gate.
	ReasonFailed = "Failed"
	// ReasonRolledBack says that the last healthy commit runs again because the newest one failed.
	ReasonRolledBack = "RolledBack"
	// ReasonSuspended says that a person suspended the environment or its repository.
	ReasonSuspended = "Suspended"
	// ReasonExpiring says that nobody has touched the branch for expireAfter, and that the namespace goes.
	ReasonExpiring = "Expiring"
	// ReasonExpired says that the namespace is gone, and that a push to the branch brings it back.
	ReasonExpired = "Expired"
	// ReasonDeleting says that the branch or its entry is gone, and that the environment is being torn down.
	ReasonDeleting = "Deleting"
)

// The reasons of a Repository's Ready condition, beside ReasonSuspended, and ReasonWaiting while deletions wait
// for a person's confirmation.
const (
	// ReasonWatching says that the last listing was complete, and that every entry is being followed. It alone
	// makes Ready true.
	ReasonWatching = "Watching"
	// ReasonFetching says that the first fetch goes on, and how much has come.
	ReasonFetching = "Fetching"
	// ReasonUnreachable says that the Git server did not answer, or not with a listing.
	ReasonUnreachable = "Unreachable"
	// ReasonUnauthorized says that the Git server refused the credentials, or wants some.
	ReasonUnauthorized = "Unauthorized"
	// ReasonTooLarge says that the repository exceeds one of spec.limits, or the room for all Git stores, and which.
	// Branches that entries name are followed all the same, if they can be.
	ReasonTooLarge = "TooLarge"
	// ReasonEmpty says that the repository has no branches.
	ReasonEmpty = "Empty"
	// ReasonInvalid says that the spec holds what the API server could not refuse, and where.
	ReasonInvalid = "Invalid"
	// ReasonDoubtful says that what answers has none of the commits that were known, and is not followed until a
	// person confirms that it is the same repository.
	ReasonDoubtful = "Doubtful"
)

// Labels that the agent sets on Environments, for selecting them.
const (
	LabelRepository = "berth.dev/repository"
	LabelEntry      = "berth.dev/entry"
)

// Annotations with which people, commands and hooks ask for something. The value of the first three is an id
// of the asker's choice; the agent copies it to the status when it is done, so that asking twice is harmless.
const (
	// AnnotationRequested asks for a sync, or for a listing of a Repository's branches, now.
	AnnotationRequested = "berth.dev/requested"
	// AnnotationRetry asks for another attempt at what failed, failed Jobs included.
	AnnotationRetry = "berth.dev/retry"
	// AnnotationConfirmed lets a deletion pass that the brake holds when it is first seen, and no later one.
	AnnotationConfirmed = "berth.dev/confirmed"
	// AnnotationKeep with the value "true" exempts an Environment from expiry.
	AnnotationKeep = "berth.dev/keep"
)

// FinalizerTeardown keeps an Environment whose onRemoval is Delete until what it runs is gone.
const FinalizerTeardown = "berth.dev/teardown"
