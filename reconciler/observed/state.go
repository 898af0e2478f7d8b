package observed

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
)

// State is what is known about an environment's objects in the cluster.
type State struct {
	// Objects are those that bear the environment's label. They also include objects of other environments or of none
	// that occupy the place of a desired object, as far as that is known.
	Objects map[manifest.Key]Object
	// Unknown has the kinds whose objects are not known.
	Unknown map[schema.GroupKind]Unknown
	// Namespace is the environment's own namespace, whichever client made it; nil if it does not exist.
	Namespace *Object
}

// Unknown is a kind whose objects cannot be seen: they count as neither present nor absent.
type Unknown struct {
	State   KindState
	Message string
	// Elsewhere is the group in which the API server has a kind of that name; empty for none.
	Elsewhere string
}

// KindState says why nothing is known about the objects of a kind.
type KindState string

// The reasons.
const (
	Syncing   KindState = "syncing"    // the watch has not delivered everything yet
	NotServed KindState = "not served" // the API server does not know the kind
	Unwatched KindState = "unwatched"  // the watch is unavailable
	Ungranted KindState = "ungranted"  // the environment's account may not watch the kind, perhaps not yet
)
