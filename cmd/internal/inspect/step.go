package inspect

import "berth.dev/berth/reconciler/fields"

// Step is one step that a sync would take.
type Step struct {
	Action string `json:"action"`
	Object string `json:"object"`
	// Origin is the place of the object in Git.
	Origin  string `json:"origin,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Blocked string `json:"blocked,omitempty"`
	// Refused is the cluster's reason to reject the object.
	Refused string          `json:"refused,omitempty"`
	Fields  []fields.Change `json:"fields,omitempty"`
}
