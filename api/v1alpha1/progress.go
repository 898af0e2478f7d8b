package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SyncProgress is how far the newest sync is, and how long its steps took. A step without a duration has not ended, or its
// duration is unknown.
type SyncProgress struct {
	// commit is the commit that is synced.
	Commit string `json:"commit"`
	// startedAt is when the agent began to apply the commit. As long as render is missing, it is when the agent began to
	// render it.
	StartedAt metav1.Time `json:"startedAt"`
	// fetch is how long the agent took to list the branches and to fetch their commits.
	// +optional
	Fetch metav1.Duration `json:"fetch,omitzero"`
	// render is how long the agent took to turn the folder of the commit into objects.
	// +optional
	Render metav1.Duration `json:"render,omitzero"`
	// apply is the time from startedAt until every object was written, with the waits between waves.
	// +optional
	Apply metav1.Duration `json:"apply,omitzero"`
	// rollout is the time from then until everything was healthy.
	// +optional
	Rollout metav1.Duration `json:"rollout,omitzero"`
	// requestedBy is who requested the sync, as the client stated it. It is absent if a push began the sync.
	// +optional
	RequestedBy *Requester `json:"requestedBy,omitempty"`
}
