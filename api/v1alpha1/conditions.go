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
	// ConditionExpiresSoon reports that the namespace will soon be deleted, and how to keep it.
	ConditionExpiresSoon = "ExpiresSoon"
	// ConditionMoved reports that the entry now names another namespace, and that a user must decide about the
	// environment in the old one.
	ConditionMoved = "Moved"
	// ConditionBranchGone reports when the branch disappeared, when its environment is deleted, and how to keep it.
	ConditionBranchGone = "BranchGone"
)

// ConditionBranchesLeftOut is a condition of a Repository, present only while it is true: some branches match an entry
// but get no environment. Its reason says why.
const (
	ConditionBranchesLeftOut = "BranchesLeftOut"
	// ReasonUnusable means that the names of some branches cannot be printed or written safely.
	ReasonUnusable = "Unusable"
	// ReasonTooMany means that spec.limits.environments is reached.
	ReasonTooMany = "TooMany"
)

// ConditionClusterUnavailable is a condition of a Repository, present only while it is true: the agent cannot use a cluster that
// an entry names. The environments there stay as they are, and say why.
const (
	ConditionClusterUnavailable = "ClusterUnavailable"
	// ReasonUnavailable means that a cluster cannot be reached, or refuses the agent, or that its kubeconfig is missing or
	// unusable. The message says which, and since when.
	ReasonUnavailable = "Unavailable"
)

// ConditionClusterAccessExpires is a condition of a Repository, present only while it is true: the credentials with which the
// agent reaches a cluster end within a week, or have ended.
const (
	ConditionClusterAccessExpires = "ClusterAccessExpires"
	// ReasonExpiresSoon means that they have to be renewed. The message says until when.
	ReasonExpiresSoon = "ExpiresSoon"
)

// ConditionFeedback is a condition of a Repository with spec.feedback: whether the forge accepts what the agent reports. If
// it does not, environments are synced all the same.
const (
	ConditionFeedback = "Feedback"
	// ReasonReported means that the forge accepted the last report. Only with it is Feedback true.
	ReasonReported = "Reported"
	// ReasonForbidden means that the token lacks a permission. The message names it.
	ReasonForbidden = "Forbidden"
	// ReasonNotFound means that the forge has no such project, or does not show it to the token.
	ReasonNotFound = "NotFound"
	// ReasonRateLimited means that the forge allows no more requests for now.
	ReasonRateLimited = "RateLimited"
	// ReasonRefused means that the forge refused a report for another reason, which the message quotes.
	ReasonRefused = "Refused"
)

// The reasons of an Environment's Ready condition: the one word that people read. The condition's message
// names the worst object, and why.
const (
	// ReasonHealthy means that everything is applied and has become healthy. Only with it is Ready true.
	ReasonHealthy = "Healthy"
	// ReasonQueued means that the limit of the entry or of the agent is reached. The message has the place in the queue.
	ReasonQueued = "Queued"
	// ReasonWaiting means that the agent waits for something that it does not do itself, such as the end of a
	// namespace or a user's confirmation.
	ReasonWaiting = "Waiting"
	// ReasonSyncing means that objects are being applied, or have not become healthy yet.
	ReasonSyncing = "Syncing"
	// ReasonDegraded means that the environment was healthy with this commit and no longer is.
	ReasonDegraded = "Degraded"
	// ReasonFailed means that the commit could not be rendered or applied, or did not become healthy.
	ReasonFailed = "Failed"
	// ReasonRolledBack means that the last healthy commit runs again because the newest one failed.
	ReasonRolledBack = "RolledBack"
	// ReasonSuspended means that a user suspended the environment or its Repository.
	ReasonSuspended = "Suspended"
	// ReasonExpiring means that the branch has been inactive for expireAfter, and that its namespace is being deleted.
	ReasonExpiring = "Expiring"
	// ReasonExpired means that the namespace is deleted until the next push to the branch re-creates it.
	ReasonExpired = "Expired"
	// ReasonDeleting means that the branch or its entry is gone, and that the environment is being torn down.
	ReasonDeleting = "Deleting"
)

// The reasons of a Repository's Ready condition. It can also have ReasonSuspended, and ReasonWaiting while deletions
// wait for a user's confirmation.
const (
	// ReasonWatching means that the last listing was complete, and that all entries are followed. Only with it is
	// Ready true.
	ReasonWatching = "Watching"
	// ReasonFetching means that the first fetch is under way. The message has its progress.
	ReasonFetching = "Fetching"
	// ReasonUnreachable means that the Git server did not answer, or did not answer with a listing.
	ReasonUnreachable = "Unreachable"
	// ReasonUnauthorized means that the Git server refused the credentials, or requires some.
	ReasonUnauthorized = "Unauthorized"
	// ReasonTooLarge means that the repository exceeds one of spec.limits, or the space for all Git stores. Branches
	// that entries name are still followed where possible.
	ReasonTooLarge = "TooLarge"
	// ReasonEmpty means that the repository has no branches.
	ReasonEmpty = "Empty"
	// ReasonInvalid means that the spec has an error that the API server cannot detect. The message says where.
	ReasonInvalid = "Invalid"
	// ReasonDoubtful means that none of the known commits exist any more at the URL. The agent follows it only after a
	// user confirms that it is the same repository.
	ReasonDoubtful = "Doubtful"
)

// Labels that the agent sets on Environments, for selecting them.
const (
	LabelRepository = "berth.dev/repository"
	LabelEntry      = "berth.dev/entry"
)

// Annotations with which users, commands and webhooks request something. The value of the first three is an id that the
// requester chooses. The agent copies it to the status when it has acted on it, so that repeating a request is harmless.
const (
	// AnnotationRequested requests an immediate sync of an Environment, or listing of a Repository's branches.
	AnnotationRequested = "berth.dev/requested"
	// AnnotationRetry requests another attempt at everything that failed, including failed Jobs.
	AnnotationRetry = "berth.dev/retry"
	// AnnotationConfirmed allows the deletions that the deletion guard blocks when the agent first sees it, and no
	// later ones. If its value ends with "@" and status.blockedDeletions.digest, it allows those only.
	AnnotationConfirmed = "berth.dev/confirmed"
	// AnnotationRequestedBy is who wrote one of these requests, or spec.pin or spec.suspend, as the client states it: a new
	// id, the action and the name of the user, separated by spaces. The history shows it. It grants nothing.
	AnnotationRequestedBy = "berth.dev/requested-by"
	// AnnotationKeep with the value "true" exempts an Environment from expiry.
	AnnotationKeep = "berth.dev/keep"
)

// FinalizerTeardown is the finalizer of an Environment with onRemoval Delete. The agent removes it once everything
// that the environment runs is gone.
const FinalizerTeardown = "berth.dev/teardown"
