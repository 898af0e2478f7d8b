package manifest

// The marks that Berth sets on objects, and those that it reads from objects in Git. They are stored in users'
// clusters and repositories, so they do not change after the first release.
const (
	// LabelEnvironment names the environment that an object belongs to: <installation>.<hash of the environment>.
	LabelEnvironment = "berth.dev/environment"
	// AnnotationDigest holds the digest of the applied object.
	AnnotationDigest = "berth.dev/digest"

	// AnnotationRepository and the two below are the readable form of LabelEnvironment.
	AnnotationRepository  = "berth.dev/repository"
	AnnotationBranch      = "berth.dev/branch"
	AnnotationEnvironment = "berth.dev/environment"

	// AnnotationWave is an integer: the position of an object in the order of a sync (default 0).
	AnnotationWave = "berth.dev/wave"
	// AnnotationDependsOn is cli-utils' list of objects that must have settled before this one.
	AnnotationDependsOn = "config.kubernetes.io/depends-on"
	// AnnotationPrune is "never" (keep an object that left Git) or "allow" (delete even an object that holds data).
	AnnotationPrune = "berth.dev/prune"
	// AnnotationDrift is "ignore": changes by others stay.
	AnnotationDrift = "berth.dev/drift"
	// AnnotationJob is "on-change" (default), "every-commit", "once" or "on-removal".
	AnnotationJob = "berth.dev/job"
	// AnnotationTimeout is how long the object may take to settle, instead of the entry's health.timeout.
	AnnotationTimeout = "berth.dev/timeout"
	// AnnotationJobReplace is "wait" (default) or "terminate": what happens to a running Job that changed.
	AnnotationJobReplace = "berth.dev/job-replace"
	// AnnotationAdopt is "true": the object may be taken over from another tool.
	AnnotationAdopt = "berth.dev/adopt"
	// AnnotationReplace is "when-immutable" (delete and re-create an object when an immutable field changes) or
	// "orphan" (the same, but leave its pods running meanwhile).
	AnnotationReplace = "berth.dev/replace"
	// AnnotationVariables is "off": ${NAME} is not replaced in the object.
	AnnotationVariables = "berth.dev/variables"
	// AnnotationRestartOnChange is "true": the pods of a workload are re-created when a ConfigMap or Secret that it
	// names changes. AnnotationRestartedFor, on its pod template, causes that.
	AnnotationRestartOnChange = "berth.dev/restart-on-change"
	AnnotationRestartedFor    = "berth.dev/restarted-for"
)

// FieldManager is the name under which Berth applies.
const FieldManager = "berth"
