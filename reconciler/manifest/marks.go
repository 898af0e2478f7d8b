package manifest

// The marks that Berth sets on objects, and those it reads from objects in Git. They live in users'
// clusters and repositories: they do not change after the first release.
const (
	// LabelEnvironment says whose an object is: <installation>.<hash of the environment>.
	LabelEnvironment = "berth.dev/environment"
	// AnnotationDigest holds the digest of what was applied.
	AnnotationDigest = "berth.dev/digest"

	// The readable side of LabelEnvironment.
	AnnotationRepository  = "berth.dev/repository"
	AnnotationBranch      = "berth.dev/branch"
	AnnotationEnvironment = "berth.dev/environment"

	// AnnotationWave is an integer: where in the order of a sync an object stands (default 0).
	AnnotationWave = "berth.dev/wave"
	// AnnotationDependsOn is cli-utils' list of objects that must have settled before.
	AnnotationDependsOn = "config.kubernetes.io/depends-on"
	// AnnotationPrune is "never" (keep what left Git) or "allow" (delete even what bears data).
	AnnotationPrune = "berth.dev/prune"
	// AnnotationDrift is "ignore": what others change stays as they left it.
	AnnotationDrift = "berth.dev/drift"
	// AnnotationJob is "on-change" (default), "every-commit", "once" or "on-removal".
	AnnotationJob = "berth.dev/job"
	// AnnotationTimeout is how long the object may take to settle, instead of the entry's health.timeout.
	AnnotationTimeout = "berth.dev/timeout"
	// AnnotationJobReplace is "wait" (default) or "terminate": what happens to a running Job that changed.
	AnnotationJobReplace = "berth.dev/job-replace"
	// AnnotationAdopt is "true": the object may be taken over from another tool.
	AnnotationAdopt = "berth.dev/adopt"
	// AnnotationReplace is "when-immutable" (delete and create anew what cannot be changed in place) or
	// "orphan" (the same, and leave its pods running meanwhile).
	AnnotationReplace = "berth.dev/replace"
	// AnnotationVariables is "off": ${NAME} is not replaced in the object.
	AnnotationVariables = "berth.dev/variables"
	// AnnotationRestartOnChange is "true": the pods of a workload are made anew when a ConfigMap or Secret
	// that it names changes. AnnotationRestartedFor, on its pod template, is what brings that about.
	AnnotationRestartOnChange = "berth.dev/restart-on-change"
	AnnotationRestartedFor    = "berth.dev/restarted-for"
)

// FieldManager is the name under which Berth applies.
const FieldManager = "berth"
